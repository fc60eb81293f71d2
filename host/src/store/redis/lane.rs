//! A lane: a connection that carries single commands and their answers only, without pushes, so that nothing
//! else holds them up.
//!
//! A hit is one read, so this is the hot path: commands that are asked for at the same moment leave in one
//! write, and their answers come in one read and are parsed in the buffer. A task of its own holds the
//! connection and with it the time budget. The budget bounds silence, not size: while bytes come or go, no
//! caller times out.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt as _;
use redis::ConnectionInfo;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

use super::reply::{Reply, take_reply};
use super::stream::{self, ByteStream};
use crate::store::StoreError;

/// Room in the buffer before each read, for the answers to the commands of one moment.
const AT_LEAST_ROOM: usize = 8 << 10;

/// What the server answered; an error that the server reports is [`Reply::Error`].
pub(super) type Replied = Result<Reply, StoreError>;

/// The callers' end of the connection, which is closed when the lane is dropped.
pub(super) struct Lane {
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Queue {
    asked: Mutex<Unsent>,
    /// Notified when there is something in `asked`.
    filled: Notify,
    /// Notified when nothing is answered any more.
    ended: Notify,
}

/// The commands that are not sent yet.
#[derive(Default)]
struct Unsent {
    commands: Vec<u8>,
    answers: Vec<oneshot::Sender<Replied>>,
    /// Why nothing is sent any more; `None` while the connection works.
    ended: Option<StoreError>,
}

impl Lane {
    /// Opens the connection. It ends when the server is silent for longer than `budget` while a command waits
    /// for its answer.
    pub(super) async fn open(to: &ConnectionInfo, budget: Duration) -> io::Result<Self> {
        Ok(Self::over(stream::open(to).await?, budget))
    }

    fn over(stream: Box<dyn ByteStream>, budget: Duration) -> Self {
        let queue = Arc::new(Queue::default());
        let task = tokio::spawn(serve(stream, budget, Arc::clone(&queue)));
        Self { queue, task }
    }

    /// Asks one command, written by `write`. The answer's sender is dropped if the connection is closed
    /// before the answer comes.
    pub(super) fn ask(&self, write: impl FnOnce(&mut Vec<u8>)) -> oneshot::Receiver<Replied> {
        let (answer, answered) = oneshot::channel();
        let mut asked = self.queue.asked();
        if let Some(error) = &asked.ended {
            // Can't fail: the receiver is still here.
            let _sent = answer.send(Err(error.clone()));
            return answered;
        }
        write(&mut asked.commands);
        asked.answers.push(answer);
        if asked.answers.len() == 1 {
            self.queue.filled.notify_one();
        }
        answered
    }

    /// Returns when nothing is answered any more.
    pub(super) async fn ended(&self) {
        self.queue.ended.notified().await;
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Queue {
    fn asked(&self) -> MutexGuard<'_, Unsent> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command that was sent, or is being sent, and waits for its answer.
struct WaitingCommand {
    since: Instant,
    answer: oneshot::Sender<Replied>,
}

/// Carries commands and answers until the connection fails, then tells all waiting callers why.
async fn serve(stream: Box<dyn ByteStream>, budget: Duration, queue: Arc<Queue>) {
    let mut waiting = VecDeque::new();
    let error = carry(stream, budget, &queue, &mut waiting).await;
    let unsent = {
        let mut asked = queue.asked();
        asked.ended = Some(error.clone());
        mem::take(&mut asked.answers)
    };
    for answer in waiting.into_iter().map(|waiting| waiting.answer).chain(unsent) {
        // A caller that went away needs no answer.
        let _gone = answer.send(Err(error.clone()));
    }
    queue.ended.notify_one();
}

async fn carry(
    stream: Box<dyn ByteStream>,
    budget: Duration,
    queue: &Queue,
    waiting: &mut VecDeque<WaitingCommand>,
) -> StoreError {
    let failed = |error: io::Error| StoreError::Unavailable(error.to_string());
    let (mut reading, mut writing) = tokio::io::split(stream);
    let (mut outgoing, mut incoming) = (Outgoing::new(), BytesMut::new());
    let mut alarm = pin!(sleep(budget));
    let mut moved = Instant::now();
    let is_shared = Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread;
    loop {
        incoming.reserve(AT_LEAST_ROOM);
        tokio::select! {
            biased;
            read = reading.read_buf(&mut incoming) => match read {
                Ok(0) => return failed(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {
                    if let Err(error) = hand_out(&mut incoming, waiting) {
                        return failed(error);
                    }
                    // Silence counts only while a command waits for its answer.
                    if !waiting.is_empty() {
                        moved = Instant::now();
                    }
                }
                Err(error) => return failed(error),
            },
            sent = outgoing.send(&mut writing), if !outgoing.is_sent => match sent {
                Ok(()) => moved = Instant::now(),
                Err(error) => return failed(error),
            },
            () = queue.filled.notified(), if outgoing.is_sent => {
                // More commands in one write: with one thread, every other task that was ready has asked by
                // now. With several, callers that got an answer are about to ask again, so they go first. A
                // caller that is alone need not wait.
                if is_shared && !waiting.is_empty() {
                    yield_now().await;
                }
                outgoing.take(queue, waiting);
                // Nearly all leaves at once, which shows nothing about the server; the rest leaves while
                // answers are read.
                if let Some(Err(error)) = outgoing.send(&mut writing).now_or_never() {
                    return failed(error);
                }
            }
            () = &mut alarm, if !waiting.is_empty() => {
                let now = Instant::now();
                let since = waiting.front().map_or(now, |oldest| oldest.since.max(moved));
                if since + budget <= now {
                    return StoreError::Timeout(budget);
                }
                alarm.as_mut().reset(since + budget);
            }
        }
    }
}

/// Commands on their way out.
struct Outgoing {
    commands: Vec<u8>,
    written: usize,
    is_sent: bool,
}

/// The most that is written in one piece. A large value leaves in several, each of which shows that the
/// server still reads.
const PIECE: usize = 64 << 10;

impl Outgoing {
    fn new() -> Self {
        Self { commands: Vec::new(), written: 0, is_sent: true }
    }

    /// Takes all that was asked for until now.
    fn take(&mut self, queue: &Queue, waiting: &mut VecDeque<WaitingCommand>) {
        self.commands.clear();
        let since = Instant::now();
        let mut asked = queue.asked();
        mem::swap(&mut self.commands, &mut asked.commands);
        waiting.extend(asked.answers.drain(..).map(|answer| WaitingCommand { since, answer }));
        (self.written, self.is_sent) = (0, false);
    }

    /// Sends the next piece. If the future is dropped halfway, the next call goes on from there.
    async fn send(&mut self, writing: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let end = self.commands.len().min(self.written + PIECE);
        while self.written < end {
            match writing.write(&self.commands[self.written..end]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.written += count,
            }
        }
        if self.written == self.commands.len() {
            writing.flush().await?;
            self.is_sent = true;
        }
        Ok(())
    }
}

/// Gives every whole answer to the command that waits for it.
fn hand_out(incoming: &mut BytesMut, waiting: &mut VecDeque<WaitingCommand>) -> io::Result<()> {
    while let Some(reply) = take_reply(incoming)? {
        let unasked = || io::Error::other("an answer without a question");
        let asked = waiting.pop_front().ok_or_else(unasked)?;
        // A caller that went away needs no answer.
        let _gone = asked.answer.send(Ok(reply));
    }
    Ok(())
}

/// A command as the server reads it: an array of strings, each after its length.
pub(super) fn write_command(commands: &mut Vec<u8>, words: &[&[u8]]) {
    commands.push(b'*');
    commands.extend_from_slice(itoa::Buffer::new().format(words.len()).as_bytes());
    commands.extend_from_slice(b"\r\n");
    words.iter().for_each(|word| write_word(commands, word));
}

/// The command of a hit, `GETEX name`.
pub(super) fn write_read(commands: &mut Vec<u8>, name: &[u8]) {
    commands.extend_from_slice(b"*2\r\n$5\r\nGETEX\r\n");
    write_word(commands, name);
}

fn write_word(commands: &mut Vec<u8>, word: &[u8]) {
    commands.push(b'$');
    commands.extend_from_slice(itoa::Buffer::new().format(word.len()).as_bytes());
    commands.extend_from_slice(b"\r\n");
    commands.extend_from_slice(word);
    commands.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const BUDGET: Duration = Duration::from_millis(50);

    /// A lane, and the server's end of its connection.
    fn lane() -> (Lane, DuplexStream) {
        let (ours, theirs) = duplex(64);
        (Lane::over(Box::new(ours), BUDGET), theirs)
    }

    fn get(lane: &Lane, name: &str) -> oneshot::Receiver<Replied> {
        lane.ask(|commands| write_command(commands, &[b"GET", name.as_bytes()]))
    }

    fn value(text: &'static str) -> Reply {
        Reply::Value(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn each_command_has_its_own_answer_in_whatever_pieces_they_come() {
        let (lane, mut server) = lane();
        let asked: Vec<_> = ["a", "bc", "d"].map(|name| get(&lane, name)).into();
        let expected = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$2\r\nbc\r\n\
                        *2\r\n$3\r\nGET\r\n$1\r\nd\r\n";
        let mut commands = vec![0; expected.len()];
        server.read_exact(&mut commands).await.unwrap();
        assert_eq!(String::from_utf8(commands).unwrap(), expected);
        for piece in ["$1\r\n1\r\n$-", "1\r\n-OOM fu", "ll\r\n"] {
            server.write_all(piece.as_bytes()).await.unwrap();
            yield_now().await;
        }
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.unwrap().unwrap());
        }
        assert_eq!(answers, [value("1"), Reply::Nothing, Reply::Error("OOM full".to_owned())]);
    }

    #[tokio::test]
    async fn who_went_away_takes_nothing_from_the_others() {
        let (lane, mut server) = lane();
        drop(get(&lane, "a"));
        let other = get(&lane, "b");
        yield_now().await;
        server.write_all(b"$1\r\n1\r\n$1\r\n2\r\n").await.unwrap();
        assert_eq!(other.await.unwrap().unwrap(), value("2"));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_for_all() {
        let (lane, mut server) = lane();
        let (first, began) = (get(&lane, "a"), Instant::now());
        yield_now().await;
        server.write_all(b"$1\r\n1\r\n").await.unwrap();
        assert_eq!(first.await.unwrap().unwrap(), value("1"));
        let idle = Duration::from_millis(40);
        sleep(idle).await;
        let late = get(&lane, "b");
        assert!(matches!(late.await, Ok(Err(StoreError::Timeout(BUDGET)))));
        // The second command has a budget of its own.
        assert_eq!(began.elapsed(), idle + BUDGET);
        lane.ended().await;
        assert!(matches!(get(&lane, "c").await, Ok(Err(StoreError::Timeout(BUDGET)))));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_meanwhile_does_not_make_a_silent_server_look_alive() {
        let (ours, _silent) = duplex(64 << 10);
        let (lane, began) = (Lane::over(Box::new(ours), BUDGET), Instant::now());
        let first = get(&lane, "a");
        let more = async {
            for name in ["b", "c", "d", "e", "f", "g", "h", "i", "j"] {
                sleep(BUDGET / 5).await;
                drop(get(&lane, name));
            }
        };
        let (answer, ()) = tokio::join!(async { (first.await, began.elapsed()) }, more);
        assert!(matches!(answer, (Ok(Err(StoreError::Timeout(BUDGET))), BUDGET)), "{answer:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_keeps_coming_is_waited_for_whatever_its_size() {
        let (lane, mut server) = lane();
        let (asked, began) = (get(&lane, "a"), Instant::now());
        server.write_all(b"$10\r\n").await.unwrap();
        for _ in 0..10 {
            sleep(BUDGET * 9 / 10).await;
            server.write_all(b"x").await.unwrap();
        }
        server.write_all(b"\r\n").await.unwrap();
        assert_eq!(asked.await.unwrap().unwrap(), value("xxxxxxxxxx"));
        assert_eq!(began.elapsed(), BUDGET * 9);
    }

    #[tokio::test]
    async fn what_the_server_breaks_is_said_to_all_who_wait() {
        let (ended, server) = lane();
        drop(server);
        assert!(matches!(get(&ended, "a").await, Ok(Err(StoreError::Unavailable(_)))));
        for garbage in ["HTTP/1.1 400\r\n", "$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"] {
            let (lane, mut server) = lane();
            let asked = [get(&lane, "a"), get(&lane, "b")];
            yield_now().await;
            server.write_all(garbage.as_bytes()).await.unwrap();
            lane.ended().await;
            let [_, last] = asked;
            let last = last.await.unwrap();
            assert_eq!(last.is_ok(), garbage.starts_with('$'), "{garbage}: {last:?}");
            let refused = get(&lane, "c").await.unwrap();
            assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{garbage}: {refused:?}");
        }
    }
}
