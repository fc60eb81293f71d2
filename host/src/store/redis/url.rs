//! Makes a client from a URL.

use redis::{Client, IntoConnectionInfo, ProtocolVersion, RedisResult};

use crate::store::StoreError;

pub(super) fn client(url: &str) -> Result<Client, StoreError> {
    let fail = |why: String| Err(StoreError::Unavailable(why));
    // Only the scheme is repeated: the rest of a URL may hold a password.
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("redis" | "rediss") => {}
        Some(scheme @ "redis+sentinel") => {
            return fail(format!("{scheme}:// is not built yet; redis:// and rediss:// are"));
        }
        Some(scheme @ ("redis+cluster" | "rediss+cluster")) => {
            return fail(format!("{scheme}:// has many nodes, and this is the store of one"));
        }
        Some(scheme) => {
            return fail(format!("{scheme}:// is no Redis; redis:// and rediss:// are"));
        }
        None => return fail("not a URL like redis://host:6379".to_owned()),
    }
    let open = || -> RedisResult<Client> {
        let info = url.into_connection_info()?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Client::open(info.set_redis_settings(settings))
    };
    open().map_err(|error| unavailable(&error))
}

pub(super) fn unavailable(error: &dyn std::error::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
