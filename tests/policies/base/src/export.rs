//! From the contract's functions to [`Policy`], and what a module without a standard library needs.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::OnceCell;
use core::marker::PhantomData;

use crate::bindings::exports::corral::policy::decisions::Guest;
use crate::{
    Change, Event, Manifest, Memo, Moment, Plan, Policy, Problem, Refusal, Request, Row, Settings,
    Target, Turn,
};

#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[cfg(target_family = "wasm")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// The instance's settings, from `configure` on.
struct Configured(OnceCell<Settings>);

// SAFETY: the module is built without threads, so no two of them can reach the cell.
unsafe impl Sync for Configured {}

static CONFIGURED: Configured = Configured(OnceCell::new());

fn settings() -> &'static Settings {
    CONFIGURED.0.get_or_init(Settings::default)
}

/// A policy as the component's.
pub struct Exported<P>(PhantomData<P>);

impl<P: Policy> Guest for Exported<P> {
    fn describe() -> Manifest {
        Manifest { name: P::NAME.to_string(), version: env!("CARGO_PKG_VERSION").to_string() }
    }

    fn configure(text: String) -> Result<(), Vec<Problem>> {
        let settings = Settings::try_new(&text).map_err(|problem| vec![problem])?;
        let twice = |_| {
            let message = "this instance is configured already".to_string();
            vec![Problem { path: String::new(), message }]
        };
        CONFIGURED.0.set(settings).map_err(twice)
    }

    fn plan(request: Request) -> Result<Plan, Refusal> {
        P::plan(settings(), &request)
    }

    fn row_tags(request: Request, rows: Vec<Row>) -> Result<Vec<String>, Refusal> {
        P::row_tags(settings(), &request, &rows)
    }

    fn step(memo: Memo, moment: Moment, event: Event) -> Turn {
        P::step(settings(), memo, moment, event)
    }

    fn invalidate(change: Change) -> Vec<Target> {
        P::invalidate(settings(), &change)
    }
}
