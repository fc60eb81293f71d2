//! A policy for a contract that this host does not speak yet.

use exports::corral::policy::decisions::{Guest, Manifest};

wit_bindgen::generate!({
    inline: "
        package corral:policy@0.3.0;
        interface types { record manifest { name: string, version: string, author: string } }
        interface decisions { use types.{manifest}; describe: func() -> manifest; }
        world policy { export types; export decisions; }
    ",
});

struct OtherContract;

export!(OtherContract);

impl Guest for OtherContract {
    fn describe() -> Manifest {
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            author: "somebody ahead of us".into(),
        }
    }
}
