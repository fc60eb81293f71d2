//! The instances of one component, kept warm.
//!
//! A call takes an instance out of the pool and puts it back only after it succeeded. A failure in
//! between (a trap, a deadline, a panic) drops the instance: a store that failed once is never
//! entered again.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use wasmtime::Store;

use crate::policy::bindings::decisions::Guest as Decisions;
use crate::policy::bindings::{self, PolicyPre};
use crate::policy::run::engine::{Budget, Engine, ticks};
use crate::policy::{
    Change, Configuration, Decider, Event, Manifest, Memo, Moment, Objection, Plan, Refusal,
    Request, Row, Target, Trap, Turn,
};

/// The instances of one component under one set of settings.
pub struct InstancePool {
    engine: Engine,
    pre: PolicyPre<Budget>,
    configuration: Arc<Configuration>,
    /// The policy's own settings, as JSON.
    settings: String,
    idle: ArrayQueue<Box<Instance>>,
    /// How many may be idle.
    keeps: AtomicUsize,
    created: AtomicU64,
}

/// Idle instances of a policy that only writes ask, for the names that it gave while it was in
/// force. One, because an interpreter takes long to start, and no more, because there may be
/// several such policies.
const COOL_INSTANCES: usize = 1;

/// One instance. Boxed in the queue, so that taking one moves a pointer.
pub(in crate::policy) struct Instance {
    store: Store<Budget>,
    exports: bindings::Policy,
    calls: u32,
}

/// Why there is no configured instance.
#[derive(Debug)]
pub(in crate::policy) enum Unready {
    /// It could not be instantiated, or `configure` gave no answer.
    Trap(Trap),
    /// `configure` does not accept what it was given.
    Objections(Vec<Objection>),
}

impl InstancePool {
    pub(in crate::policy) fn new(
        engine: &Engine,
        pre: PolicyPre<Budget>,
        configuration: Arc<Configuration>,
    ) -> Self {
        let warm = engine.limits().warm_instances.max(1);
        Self {
            engine: engine.clone(),
            pre,
            settings: configuration.settings_json(),
            configuration,
            idle: ArrayQueue::new(warm),
            keeps: AtomicUsize::new(warm),
            created: AtomicU64::new(0),
        }
    }

    /// Another pool of the same component and settings, with no instances yet.
    pub(in crate::policy) fn renewed(&self) -> Self {
        Self::new(&self.engine, self.pre.clone(), Arc::clone(&self.configuration))
    }

    /// What every instance is configured with.
    #[must_use]
    pub fn configuration(&self) -> &Arc<Configuration> {
        &self.configuration
    }

    /// Instances made since the start.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    /// A new instance that is not configured yet.
    pub(in crate::policy) fn instantiate(&self) -> Result<Box<Instance>, Trap> {
        let mut store = self.engine.starting_store();
        let start = self.engine.limits().start;
        let exports =
            self.pre.instantiate(&mut store).map_err(|error| trap("instantiate", start, &error))?;
        self.created.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Instance { store, exports, calls: 0 }))
    }

    /// Configures an instance; if the policy objects, the instance is dropped.
    pub(in crate::policy) fn configure(
        &self,
        mut instance: Box<Instance>,
    ) -> Result<Box<Instance>, Unready> {
        let start = self.engine.limits().start;
        let accepted = self.enter(&mut instance, "configure", start, |exports, store| {
            exports.call_configure(store, &self.configuration.entities, &self.settings)
        });
        match accepted {
            Ok(Ok(())) => Ok(instance),
            Ok(Err(objections)) => Err(Unready::Objections(objections)),
            Err(trap) => Err(Unready::Trap(trap)),
        }
    }

    /// The name and version that the policy gives itself.
    pub(in crate::policy) fn describe(&self, instance: &mut Instance) -> Result<Manifest, Trap> {
        let start = self.engine.limits().start;
        self.enter(instance, "describe", start, |exports, store| exports.call_describe(store))
    }

    /// Keeps an instance for the next call, unless it is worn out or enough instances are idle.
    pub(in crate::policy) fn put_back(&self, instance: Box<Instance>) {
        let wanted = self.idle.len() < self.keeps.load(Ordering::Relaxed);
        if wanted && instance.calls < self.engine.limits().calls_per_instance {
            let _too_many = self.idle.push(instance);
        }
    }

    /// A configured instance, warm if there is one.
    fn take(&self) -> Result<Box<Instance>, Trap> {
        if let Some(instance) = self.idle.pop() {
            return Ok(instance);
        }
        self.configure(self.instantiate()?).map_err(|unready| match unready {
            Unready::Trap(trap) => trap,
            Unready::Objections(objections) => Trap {
                function: "configure",
                reason: format!("{} objections to what it accepted before", objections.len()),
            },
        })
    }

    /// One entry into an instance, with its deadline. After an error the instance must not be
    /// entered again.
    fn enter<R>(
        &self,
        instance: &mut Instance,
        function: &'static str,
        time: Duration,
        call: impl FnOnce(&Decisions, &mut Store<Budget>) -> wasmtime::Result<R>,
    ) -> Result<R, Trap> {
        instance.calls += 1;
        instance.store.data_mut().begin();
        instance.store.set_epoch_deadline(ticks(time));
        let decisions = instance.exports.corral_policy_decisions();
        call(decisions, &mut instance.store).map_err(|error| trap(function, time, &error))
    }
}

/// The functions that an instance is asked for before it decides anything.
const OF_A_START: [&str; 3] = ["instantiate", "describe", "configure"];

fn trap(function: &'static str, time: Duration, error: &wasmtime::Error) -> Trap {
    let interrupted = error.downcast_ref() == Some(&wasmtime::Trap::Interrupt);
    let reason = if interrupted {
        let setting = if OF_A_START.contains(&function) { "start" } else { "call" };
        format!("it did not end within its time ({time:?}, policy.limits.{setting})")
    } else {
        one_line(&format!("{error:#}"))
    };
    Trap { function, reason }
}

/// A policy asked of one particular instance, since the gate compares two. After a failure it is
/// another instance.
pub(in crate::policy) struct Pinned<'a> {
    pool: &'a InstancePool,
    /// `None` after a failure, until the next call makes another one.
    instance: Mutex<Option<Box<Instance>>>,
}

impl<'a> Pinned<'a> {
    pub(in crate::policy) fn new(pool: &'a InstancePool, instance: Box<Instance>) -> Self {
        Self { pool, instance: Mutex::new(Some(instance)) }
    }

    /// What the instance's memory has grown to; 0 after a failure.
    pub(in crate::policy) fn memory_bytes(&self) -> usize {
        self.lock().as_ref().map_or(0, |instance| instance.store.data().memory_bytes())
    }

    /// Keeps the instance for the policy's first calls.
    pub(in crate::policy) fn put_back(self) {
        let instance = self.instance.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(instance) = instance {
            self.pool.put_back(instance);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Instance>>> {
        self.instance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instance at hand for each call. The decisions of such a type are the contract's functions.
trait Instances: Send + Sync {
    fn call<R>(
        &self,
        function: &'static str,
        call: impl FnOnce(&Decisions, &mut Store<Budget>) -> wasmtime::Result<R>,
    ) -> Result<R, Trap>;

    /// As [`Decider::warm`].
    fn warm(&self) {}

    /// As [`Decider::cool`].
    fn cool(&self) {}
}

impl Instances for InstancePool {
    fn call<R>(
        &self,
        function: &'static str,
        call: impl FnOnce(&Decisions, &mut Store<Budget>) -> wasmtime::Result<R>,
    ) -> Result<R, Trap> {
        let mut instance = self.take()?;
        let answer = self.enter(&mut instance, function, self.engine.limits().call, call)?;
        self.put_back(instance);
        Ok(answer)
    }

    /// Makes an instance for every thread that may call at once. If one can't be made, the call
    /// that needs it reports why.
    fn warm(&self) {
        let limit = self.idle.capacity();
        self.keeps.store(limit, Ordering::Relaxed);
        for _ in self.idle.len()..limit.div_ceil(2) {
            let Ok(instance) = self.instantiate() else { return };
            let Ok(instance) = self.configure(instance) else { return };
            self.put_back(instance);
        }
    }

    fn cool(&self) {
        self.keeps.store(COOL_INSTANCES, Ordering::Relaxed);
        while self.idle.len() > COOL_INSTANCES && self.idle.pop().is_some() {}
    }
}

impl Instances for Pinned<'_> {
    fn call<R>(
        &self,
        function: &'static str,
        call: impl FnOnce(&Decisions, &mut Store<Budget>) -> wasmtime::Result<R>,
    ) -> Result<R, Trap> {
        let mut pinned = self.lock();
        let mut instance = match pinned.take() {
            Some(instance) => instance,
            None => self.pool.take()?,
        };
        let time = self.pool.engine.limits().call;
        let answer = self.pool.enter(&mut instance, function, time, call)?;
        *pinned = Some(instance);
        Ok(answer)
    }
}

impl<T: Instances> Decider for T {
    fn plan(&self, request: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        self.call("plan", |exports, store| exports.call_plan(store, request))
    }

    fn row_tags(
        &self,
        request: &Request,
        rows: &[Row],
    ) -> Result<Result<Vec<String>, Refusal>, Trap> {
        self.call("row-tags", |exports, store| exports.call_row_tags(store, request, rows))
    }

    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Result<Turn, Trap> {
        self.call("step", |exports, store| exports.call_step(store, memo, moment, event))
    }

    fn invalidate(&self, change: &Change) -> Result<Vec<Target>, Trap> {
        self.call("invalidate", |exports, store| exports.call_invalidate(store, change))
    }

    fn warm(&self) {
        Instances::warm(self);
    }

    fn cool(&self) {
        Instances::cool(self);
    }
}

impl std::fmt::Debug for InstancePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstancePool")
            .field("idle", &self.idle.len())
            .field("created", &self.created())
            .finish_non_exhaustive()
    }
}

/// Engine errors carry backtraces and nested causes; logs and documents want one line.
pub(in crate::policy) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
