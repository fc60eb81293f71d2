//! A policy for a contract that this host does not speak yet.
#![no_std]

extern crate alloc;

use alloc::string::ToString;

use exports::corral::policy::decisions::{Guest, Manifest};

wit_bindgen::generate!({
    inline: "
        package corral:policy@0.2.0;
        interface types { record manifest { name: string, version: string, author: string } }
        interface decisions { use types.{manifest}; describe: func() -> manifest; }
        world policy { export types; export decisions; }
    ",
});

#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[cfg(target_family = "wasm")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

struct OtherContract;

export!(OtherContract);

impl Guest for OtherContract {
    fn describe() -> Manifest {
        Manifest {
            name: "other-contract".to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            author: "somebody ahead of us".to_string(),
        }
    }
}
