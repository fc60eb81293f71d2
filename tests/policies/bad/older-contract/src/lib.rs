//! A policy for a contract that this host no longer speaks.

use exports::corral::policy::decisions::{Guest, Manifest};

wit_bindgen::generate!({
    inline: "
        package corral:policy@0.1.0;
        interface types { record manifest { name: string, version: string } }
        interface decisions { use types.{manifest}; describe: func() -> manifest; }
        world policy { export types; export decisions; }
    ",
});

struct OlderContract;

export!(OlderContract);

impl Guest for OlderContract {
    fn describe() -> Manifest {
        Manifest { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }
}
