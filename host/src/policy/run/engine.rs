//! The engine: one `wasmtime` configuration for all policies, and the limits they run under.
//!
//! A call is ended by epochs: a thread of the engine's counts them, compiled code compares the
//! count with its deadline at every loop and function, and a call that passes its deadline traps.
//! The cost of this to a healthy call can't be measured.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;
use wasmtime::{
    ResourceLimiter, StoreContextMut, StoreLimits, StoreLimitsBuilder, UpdateDeadline, bail,
};

use crate::policy::run::background::patience;
use crate::policy::run::builtin;
use crate::policy::run::compiled::{Compiled, ComponentDigest, Shelf};
use crate::policy::run::wasm::wasm_config;

/// How often the epoch advances. Deadlines are tens of milliseconds, so a finer tick would only
/// wake an idle machine more often.
const TICK: Duration = Duration::from_millis(5);

/// A call ends after so many deadlines even if its thread hardly ran. This bounds the wall time of
/// a call on a machine that is starved of processors.
const PATIENCE: u32 = 50;

/// What a policy may use. Policies in heavier languages need more of it: the first five limits are
/// settings of `[policy.limits]`, the others are set by an embedder alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Time of one call. A call that takes longer is watched, and trapped once it has kept the
    /// processor for half as long again; time in which it is preempted does not count against it.
    pub call: Duration,
    /// Time to instantiate and, apart from that, to `configure`.
    pub start: Duration,
    /// Linear memory of one instance, in bytes: the sum of its memories.
    pub memory_bytes: usize,
    /// Size of a component, in bytes.
    pub component_bytes: usize,
    /// Time to explore what a candidate does; compiling it is not counted.
    pub gate: Duration,
    /// What one call may hand out, in bytes as the host holds them.
    pub answer_bytes: usize,
    /// Calls after which an instance is replaced.
    pub calls_per_instance: u32,
    /// Instances that are kept when idle.
    pub warm_instances: usize,
}

impl Limits {
    /// A decision takes microseconds. A loop without end may stop a worker thread for this long,
    /// which a reader hardly notices.
    pub const CALL: Duration = Duration::from_millis(10);
    /// Settings of thousands of entities parse in a few milliseconds; interpreters take longer to
    /// start.
    pub const START: Duration = Duration::from_millis(500);
    /// The default policy uses two pages of 64 KiB; a request of a megabyte fits several times.
    pub const MEMORY_BYTES: usize = 16 << 20;
    /// A Python interpreter as a component has 18 MB.
    pub const COMPONENT_BYTES: usize = 64 << 20;
    /// A Rust policy of a dozen entities is explored in a tenth of this, and an operator that
    /// pushes a policy hardly notices so short a wait.
    pub const GATE: Duration = Duration::from_millis(400);
    /// Tens of thousands of tags or targets.
    pub const ANSWER_BYTES: usize = 4 << 20;
    /// Guest memory never shrinks, so one large request would be held for ever; an instance takes
    /// 0.1 ms, so after this many calls its replacement costs nothing that can be measured.
    pub const CALLS_PER_INSTANCE: u32 = 100_000;
}

impl Default for Limits {
    fn default() -> Self {
        // A call occupies its thread, so no more instances are in use at once than there are
        // threads.
        let threads = thread::available_parallelism().map_or(8, usize::from);
        Self {
            call: Self::CALL,
            start: Self::START,
            memory_bytes: Self::MEMORY_BYTES,
            component_bytes: Self::COMPONENT_BYTES,
            gate: Self::GATE,
            answer_bytes: Self::ANSWER_BYTES,
            calls_per_instance: Self::CALLS_PER_INSTANCE,
            warm_instances: threads * 2,
        }
    }
}

/// Compiles and runs policies. Cheap to clone; the ticking thread ends with the last clone and the
/// last component.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    limits: Arc<Limits>,
    compiled: Arc<Compiled>,
    shelf: Option<Arc<Shelf>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The engine could not be set up on this machine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The compiler does not support the processor or the configuration.
    #[error("no WebAssembly engine on this machine: {0}")]
    Unsupported(String),
    /// The thread that counts epochs did not start.
    #[error("the thread that ends endless policy calls did not start: {0}")]
    Ticker(#[from] io::Error),
}

impl Engine {
    /// An engine with these limits, and its ticking thread.
    ///
    /// # Errors
    /// [`EngineError`] if the machine lacks something.
    pub fn new(limits: Limits) -> Result<Self, EngineError> {
        let inner = wasmtime::Engine::new(&wasm_config())
            .map_err(|error| EngineError::Unsupported(format!("{error:#}")))?;
        tick(&inner)?;
        Ok(Self { inner, limits: Arc::new(limits), compiled: Arc::default(), shelf: None })
    }

    /// The same engine, which also keeps what it compiles beside this file.
    #[must_use]
    pub fn beside(&self, file: &Path) -> Self {
        Self { shelf: Shelf::beside(file, &self.inner).map(Arc::new), ..self.clone() }
    }

    /// The same engine, which also keeps what it compiles in this folder. The folder is made if it
    /// is missing; if it can't be made, nothing is kept there.
    #[must_use]
    pub fn keeping_in(&self, folder: &Path) -> Self {
        Self { shelf: Shelf::within(folder, &self.inner).map(Arc::new), ..self.clone() }
    }

    /// The limits of every instance.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(in crate::policy) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// Compiles a component: tens of milliseconds on all cores, so never call it on a thread that
    /// serves. Components that were compiled a short while ago are remembered.
    pub(in crate::policy) fn compile(&self, component: &[u8]) -> wasmtime::Result<Component> {
        let digest: ComponentDigest = Sha256::digest(component).into();
        if let Some(known) = self.compiled.get(&digest) {
            return Ok(known);
        }
        let is_builtin = component == builtin::builtin();
        let packaged = is_builtin.then(|| builtin::packaged(&self.inner)).flatten();
        let shelved = || self.shelf.as_ref().and_then(|shelf| shelf.take(&self.inner, &digest));
        let made = match packaged.or_else(shelved) {
            Some(made) => made,
            None => {
                let made = Component::from_binary(&self.inner, component)?;
                if let Some(shelf) = &self.shelf {
                    shelf.put(&digest, &made);
                }
                made
            }
        };
        self.compiled.insert(digest, &made, component.len());
        Ok(made)
    }

    /// A store for one instance: its calls, from the instantiation on, end in time, and its memory
    /// is capped.
    pub(in crate::policy) fn starting_store(&self) -> wasmtime::Store<Budget> {
        let mut store = wasmtime::Store::new(&self.inner, Budget::new(&self.limits));
        store.limiter(|budget| budget);
        store.set_hostcall_fuel(self.limits.answer_bytes);
        store.epoch_deadline_callback(deadline_passed);
        store.set_epoch_deadline(ticks(self.limits.start));
        store
    }
}

/// Ticks of the epoch within which `time` has surely passed: the first tick may come at once.
pub(in crate::policy) fn ticks(time: Duration) -> u64 {
    let ticks = time.as_micros().div_ceil(TICK.as_micros());
    u64::try_from(ticks).unwrap_or(u64::MAX - 1).saturating_add(1)
}

/// Missed ticks are not made up for: a machine that is too busy to tick is too busy to call.
fn tick(engine: &wasmtime::Engine) -> io::Result<()> {
    let weak = engine.weak();
    let ticking = move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    thread::Builder::new().name("corral-epoch".into()).spawn(ticking).map(drop)
}

/// What a store knows of the call that runs in it.
pub(in crate::policy) struct Budget {
    limits: StoreLimits,
    /// What all memories together have grown to, and may grow to.
    memory_bytes: usize,
    memory_limit_bytes: usize,
    call: Duration,
    overrun: Option<Overrun>,
}

/// A call that passed its first deadline.
struct Overrun {
    /// The thread's processor time at that moment.
    used: Duration,
    deadlines: u32,
}

impl Budget {
    fn new(limits: &Limits) -> Self {
        let stores = StoreLimitsBuilder::new()
            // Some interpreters are built of several modules; no known policy needs more of
            // anything.
            .instances(64)
            .memories(4)
            .tables(32)
            .table_elements(100_000)
            .trap_on_grow_failure(true)
            .build();
        Self {
            limits: stores,
            memory_bytes: 0,
            memory_limit_bytes: limits.memory_bytes,
            call: limits.call,
            overrun: None,
        }
    }

    /// Forgets the previous call.
    pub(in crate::policy) fn begin(&mut self) {
        self.overrun = None;
    }

    /// What the instance's memories have grown to; they never shrink.
    pub(in crate::policy) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Whether the call shall go on. It was preempted rather than busy as long as its thread has
    /// used little processor time since the first deadline.
    fn may_go_on(&mut self, used: Duration) -> bool {
        let overrun = self.overrun.get_or_insert(Overrun { used, deadlines: 0 });
        overrun.deadlines += 1;
        overrun.deadlines <= patience(PATIENCE) && used.saturating_sub(overrun.used) < self.call / 2
    }
}

/// The limits, and how much of them is used.
impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if bytes > self.memory_limit_bytes {
            let limit = self.memory_limit_bytes;
            bail!("its memory would grow to {bytes} bytes, policy.limits.memory allows {limit}");
        }
        let grows = self.limits.memory_growing(current, desired, maximum)?;
        if grows {
            self.memory_bytes = bytes;
        }
        Ok(grows)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.memory_grow_failed(error)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}

fn deadline_passed(mut store: StoreContextMut<'_, Budget>) -> wasmtime::Result<UpdateDeadline> {
    let budget = store.data_mut();
    if budget.may_go_on(processor_time()) {
        return Ok(UpdateDeadline::Continue(ticks(budget.call)));
    }
    Ok(UpdateDeadline::Interrupt)
}

/// The processor time that this thread has used. The kernel's clock tells it even where `/proc` is
/// hidden, as in many containers.
pub(in crate::policy) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests;
