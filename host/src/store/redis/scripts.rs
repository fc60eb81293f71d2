//! The Lua scripts. Each runs on one slot and is called by its digest.

/// A script and the digest by which the server knows it.
pub(super) struct Script {
    pub(super) code: &'static str,
    pub(super) digest: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, digest: redis::Script::new(code).get_hash().to_owned() }
    }
}

macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        /// All scripts, each with the prelude in front.
        pub(super) struct Scripts {
            $(pub(super) $name: Script),+
        }

        impl Scripts {
            pub(super) fn new() -> Self {
                Self {
                    $($name: Script::new(concat!(
                        include_str!("scripts/prelude.lua"),
                        include_str!(concat!("scripts/", stringify!($name), ".lua")),
                    ))),+
                }
            }
        }
    };
}
scripts!(claim, fill, renew, release, wait, index, forget, announce, due);

/// Where the scripts announce the keys whose lease ended; the prelude names it too.
pub(super) const SETTLED_CHANNEL: &str = "corral:settled";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prelude_publishes_where_the_host_listens() {
        assert!(Scripts::new().fill.code.contains(&format!("'{SETTLED_CHANNEL}'")));
    }
}
