//! The Lua scripts. Each runs on one slot and is called by its digest.

/// A script and the digest by which the server knows it.
pub(super) struct Script {
    pub(super) code: String,
    pub(super) digest: String,
}

/// The placeholder in the prelude for the channel of the deployment.
const CHANNEL: &str = "@settled";

impl Script {
    fn new(code: &str, channel: &str) -> Self {
        let code = code.replace(CHANNEL, channel);
        let digest = redis::Script::new(&code).get_hash().to_owned();
        Self { code, digest }
    }
}

macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        /// All scripts, each with the prelude in front.
        pub(super) struct Scripts {
            $(pub(super) $name: Script),+
        }

        impl Scripts {
            /// The scripts of a deployment, which publish the ends of its leases on `channel`.
            pub(super) fn new(channel: &str) -> Self {
                Self {
                    $($name: Script::new(
                        concat!(
                            include_str!("scripts/prelude.lua"),
                            include_str!(concat!("scripts/", stringify!($name), ".lua")),
                        ),
                        channel,
                    )),+
                }
            }
        }
    };
}
scripts!(
    claim, fill, renew, release, wait, index, mark, forget, announce, due, publish, raise, enlist,
    replace
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_publish_on_the_channel_of_their_deployment() {
        let scripts = Scripts::new("shop:1:settled");
        assert!(scripts.fill.code.contains("'shop:1:settled'"));
        assert_ne!(scripts.fill.digest, Scripts::new("corral:1:settled").fill.digest);
    }
}
