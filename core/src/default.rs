//! The built-in policy as a component of its own, and what a module without the standard library
//! needs for that: an allocator and a panic handler.
#![allow(unsafe_code, unreachable_pub, reason = "exported functions; see `component`")]

use core::panic::PanicInfo;

use crate::Policy;
use crate::rules::BuiltIn;

/// The module's allocator: small, and all that it asks the host for is pages.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// A panic is a bug here; the trap costs one decision and the host drops the instance.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

crate::export!(Policy<BuiltIn>);
