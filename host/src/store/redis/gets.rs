//! Gets that are asked for at the same moment travel as one message: the server and we pay for one
//! system call each, instead of for one a get.

use std::sync::Arc;

use redis::{Pipeline, Value};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

use super::link::Link;
use crate::store::{Key, StoreError};

/// Gets in one message: so many answers of a few kilobytes keep nobody waiting who comes later.
const AT_ONCE: usize = 64;

/// What the server says of one key: a string, nothing, or an error.
type Answer = Result<Value, StoreError>;

/// Whoever wants a get, towards the task that sends them; the task ends with it.
pub(super) struct Gets {
    queue: mpsc::UnboundedSender<Asked>,
}

struct Asked {
    key: Key,
    answer: oneshot::Sender<Answer>,
}

impl Gets {
    pub(super) fn new(runtime: &Handle, link: Arc<Link>) -> Self {
        let (queue, asked) = mpsc::unbounded_channel();
        runtime.spawn(collect(link, asked));
        Self { queue }
    }

    /// One get, within the link's budget from when it is sent.
    pub(super) async fn get(&self, key: &Key) -> Answer {
        let ended = || StoreError::Unavailable("the task that sends gets has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        let asked = Asked { key: key.clone(), answer };
        self.queue.send(asked).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

async fn collect(link: Arc<Link>, mut queue: mpsc::UnboundedReceiver<Asked>) {
    loop {
        let mut together = Vec::new();
        if queue.recv_many(&mut together, AT_ONCE).await == 0 {
            return;
        }
        // With others on their way there is a crowd: whoever else is ready asks first. Somebody who
        // is alone need not wait.
        if Arc::strong_count(&link) > IDLE {
            yield_now().await;
            let room = AT_ONCE - together.len();
            together.extend(std::iter::from_fn(|| queue.try_recv().ok()).take(room));
        }
        tokio::spawn(exchange(Arc::clone(&link), together));
    }
}

/// Who holds the link while no message is on its way: the store, and the task here.
const IDLE: usize = 2;

async fn exchange(link: Arc<Link>, together: Vec<Asked>) {
    let mut gets = Pipeline::with_capacity(together.len());
    for asked in &together {
        gets.cmd("GET").arg(asked.key.as_str());
    }
    let answers = link.exchange(|mut connection| async move {
        let count = gets.len();
        connection.send_packed_commands(&gets, 0, count).await
    });
    match answers.await {
        Ok(answers) => {
            for (asked, answer) in together.into_iter().zip(answers) {
                // Who went away needs no answer.
                let _gone = asked.answer.send(Ok(answer));
            }
        }
        Err(error) => {
            for asked in together {
                let _gone = asked.answer.send(Err(error.clone()));
            }
        }
    }
}
