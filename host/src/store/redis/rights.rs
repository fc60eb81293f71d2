//! What a server forbids to this user, or does not know at all, and what follows from that.

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, ProtocolVersion, RedisError, RedisResult, Value,
};

use super::calls::has_code;

/// Why a server without scripts is refused.
pub(super) const NO_SCRIPTS: &str = "this server forbids scripts to this user, and every claim, fill and \
                                     invalidation is one; allow +eval +evalsha";

/// Why a server that does not tell its time is refused.
pub(super) const NO_TIME: &str = "this server forbids TIME to this user, and every host and every script asks \
                                  for it; allow +time";

/// The digest of no script.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000";

/// A connection, and whether the server can push over it: in RESP3 it can.
pub(super) struct Greeted {
    pub(super) connection: MultiplexedConnection,
    pub(super) pushes: bool,
}

/// Connects by RESP3, or by RESP2 where the server does not know its greeting (`HELLO`), as some proxies.
pub(super) async fn connect(
    client: &Client,
    config: AsyncConnectionConfig,
    with_pushes: impl FnOnce(AsyncConnectionConfig) -> AsyncConnectionConfig,
) -> RedisResult<Greeted> {
    let pushing = with_pushes(config.clone());
    match client.get_multiplexed_async_connection_with_config(&pushing).await {
        Ok(connection) => Ok(Greeted { connection, pushes: true }),
        Err(error) if speaks_no_resp3(&error) => {
            let info = client.get_connection_info().clone();
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
            let client = Client::open(info.set_redis_settings(settings))?;
            let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            Ok(Greeted { connection, pushes: false })
        }
        Err(error) => Err(error),
    }
}

fn speaks_no_resp3(error: &RedisError) -> bool {
    error.kind() == ErrorKind::RESP3NotSupported
        || is_forbidden(error)
        || has_code(error, "NOPROTO")
}

/// Whether the server answered that this user may not give the command, or that there is no such command.
pub(super) fn is_forbidden(error: &RedisError) -> bool {
    let is_unknown = |details: &str| details.starts_with("unknown ");
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| {
        errors
            .iter()
            .any(|(_, error)| error.code() == "NOPERM" || error.details().is_some_and(is_unknown))
    })
}

/// Whether an answer is not that the command is forbidden. Other errors say nothing about rights.
pub(super) fn may<T>(answer: RedisResult<T>) -> RedisResult<bool> {
    match answer {
        Err(error) if error.is_io_error() => Err(error),
        Err(error) => Ok(!is_forbidden(&error)),
        Ok(_) => Ok(true),
    }
}

/// Whether this user may run scripts.
pub(super) async fn may_run_scripts(connection: &MultiplexedConnection) -> RedisResult<bool> {
    let [mut whole, mut known] = [(); 2].map(|()| connection.clone());
    let (eval, evalsha) = (
        redis::cmd("EVAL").arg("return 1").arg(0).take(),
        redis::cmd("EVALSHA").arg(NO_DIGEST).arg(0).take(),
    );
    let (whole, known) = tokio::join!(
        eval.query_async::<Value>(&mut whole),
        evalsha.query_async::<Value>(&mut known)
    );
    Ok(may(whole)? & may(known)?)
}

/// Whether this user may publish on a channel. Listeners ignore the empty message that is sent to find out.
pub(super) async fn may_publish(
    connection: &mut MultiplexedConnection,
    channel: &str,
) -> RedisResult<bool> {
    may(redis::cmd("PUBLISH").arg(channel).arg("").query_async::<Value>(connection).await)
}

/// Asks the server to track only the names for which a connection asks (`OPTIN`), so that what the scripts
/// look at, such as leases, is not pushed. `false` if a proxy or the user's rights forbid tracking.
pub(super) async fn tracking(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let mut commands = redis::pipe();
    commands.cmd("CLIENT").arg("TRACKING").arg("ON").arg("OPTIN").ignore();
    commands.cmd("CLIENT").arg("CACHING").arg("YES").ignore();
    match commands.query_async::<()>(connection).await {
        Ok(()) => Ok(true),
        Err(error) if error.is_io_error() => Err(error),
        Err(_) => Ok(false),
    }
}
