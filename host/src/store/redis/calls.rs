//! Exchanges with the server: commands and scripts. A script is called by its digest, and sent whole if the
//! server does not know it.

use std::time::Instant;

use futures_util::FutureExt as _;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ServerErrorKind};

use super::RedisStore;
use super::scripts::Script;
use crate::store::{Over, StoreError};

/// How many names, or calls of a script, one exchange has at most: so few that the server is held for well
/// under a millisecond, so many that the round trip is small beside the work.
pub(super) const CHUNK: usize = 256;

/// A script's names and arguments.
pub(super) type Call = (Vec<String>, Vec<String>);

impl RedisStore {
    /// Runs a script, and takes the server's clock from its answer.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        names: &[&str],
        args: &[&[u8]],
    ) -> Result<Over<T>, StoreError> {
        self.run_timed(script, names, args).await.map(|(over, _)| over)
    }

    /// Like [`RedisStore::run`]; also returns the server's clock at that moment, in ms.
    pub(super) async fn run_timed<T: FromRedisValue>(
        &self,
        script: &Script,
        names: &[&str],
        args: &[&[u8]],
    ) -> Result<(Over<T>, u64), StoreError> {
        let sent = Instant::now();
        let answer: Over<(u64, T)> = self
            .link
            .exchange(|mut connection| async move {
                let known = call("EVALSHA", &script.digest, names, args);
                match known.query_async(&mut connection).await {
                    Err(error) if is_unknown_script(&error) => {
                        // The server was restarted, or its scripts were flushed. EVAL also loads the script.
                        call("EVAL", &script.code, names, args).query_async(&mut connection).await
                    }
                    answer => answer,
                }
            })
            .await?;
        let now_ms = answer.answer.0;
        self.clock.observe(now_ms, sent);
        Ok((answer.map(|(_, answer)| answer), now_ms))
    }

    /// Runs a script once for each call, in exchanges of a chunk each; also returns the server's clock at
    /// each call. The script may run twice for a call: if the server does not know it, all calls of the chunk
    /// are sent again, each with the script's code, since the server may forget the script between any two of
    /// them.
    pub(super) async fn run_each<T: FromRedisValue + Send>(
        &self,
        script: &Script,
        calls: &[Call],
    ) -> Result<Over<Vec<(u64, T)>>, StoreError> {
        let sent = Instant::now();
        let talks = |connection: MultiplexedConnection| {
            let talk = |calls| run_chunk(connection.clone(), script, calls).boxed();
            calls.chunks(CHUNK).map(talk).collect()
        };
        let answers = self.link.exchange_each(talks).await?;
        let answers = answers
            .map(|chunks: Vec<Vec<(u64, T)>>| chunks.into_iter().flatten().collect::<Vec<_>>());
        if let Some((now_ms, _)) = answers.answer.last() {
            self.clock.observe(*now_ms, sent);
        }
        Ok(answers)
    }

    /// Sends one command.
    pub(super) async fn send<T: FromRedisValue>(
        &self,
        command: Cmd,
    ) -> Result<Over<T>, StoreError> {
        self.link
            .exchange(|mut connection| async move { command.query_async(&mut connection).await })
            .await
    }

    /// Sends pipelines of which none needs the answer of another.
    pub(super) async fn pipelines<T: FromRedisValue + Send>(
        &self,
        pipelines: &[Pipeline],
    ) -> Result<Over<Vec<T>>, StoreError> {
        let talks = |connection: MultiplexedConnection| {
            let talk = |commands| run_pipeline(connection.clone(), commands).boxed();
            pipelines.iter().map(talk).collect()
        };
        self.link.exchange_each(talks).await
    }

    pub(super) async fn pipeline<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<Over<T>, StoreError> {
        self.link
            .exchange(|mut connection| async move { commands.query_async(&mut connection).await })
            .await
    }
}

async fn run_pipeline<T: FromRedisValue>(
    mut connection: MultiplexedConnection,
    commands: &Pipeline,
) -> RedisResult<T> {
    commands.query_async(&mut connection).await
}

async fn run_chunk<T: FromRedisValue>(
    mut connection: MultiplexedConnection,
    script: &Script,
    calls: &[Call],
) -> RedisResult<Vec<(u64, T)>> {
    let known = commands("EVALSHA", &script.digest, calls);
    match known.query_async(&mut connection).await {
        Err(error) if is_unknown_script(&error) => {
            commands("EVAL", &script.code, calls).query_async(&mut connection).await
        }
        answers => answers,
    }
}

fn commands(command: &str, script: &str, calls: &[Call]) -> Pipeline {
    let mut commands = Pipeline::with_capacity(calls.len());
    for (names, args) in calls {
        commands.cmd(command).arg(script).arg(names.len()).arg(names).arg(args);
    }
    commands
}

/// Whether the server does not know a script, of one command or of one in a pipeline.
fn is_unknown_script(error: &RedisError) -> bool {
    let no_script = ErrorKind::Server(ServerErrorKind::NoScript);
    error.kind() == no_script || has_code(error, "NOSCRIPT")
}

/// Whether the server answered an error with this code, to one command or to one in a pipeline.
pub(super) fn has_code(error: &RedisError, code: &str) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == code))
}

fn call(command: &str, script: &str, names: &[&str], args: &[&[u8]]) -> Cmd {
    redis::cmd(command).arg(script).arg(names.len()).arg(names).arg(args).take()
}
