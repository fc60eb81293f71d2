//! What `wasmtime` generates from `wit/policy.wit`. The only place that names the contract's file.
#![allow(missing_docs, unreachable_pub, reason = "generated from wit/policy.wit, documented there")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "policy",
    additional_derives: [PartialEq, Eq, Hash],
});

pub use exports::corral::policy::{decisions, types};

impl types::Action {
    /// The action's name in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Claim(_) => "claim",
            Self::Wait(_) => "wait",
            Self::Load => "load",
            Self::LoadUncached => "load-uncached",
            Self::Fill(_) => "fill",
            Self::Answer => "answer",
            Self::AnswerAndRefresh => "answer-and-refresh",
            Self::Fail => "fail",
        }
    }

    /// The lifetime that a fill gives its value; `None` for any other action.
    #[must_use]
    pub const fn lifetime(self) -> Option<types::Lifetime> {
        if let Self::Fill(lifetime) = self { Some(lifetime) } else { None }
    }
}

impl types::Event {
    /// The event's name in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Found(_) => "found",
            Self::Bypassed => "bypassed",
            Self::StoreUnavailable => "store-unavailable",
            Self::LeaseGranted => "lease-granted",
            Self::LeaseHeld(_) => "lease-held",
            Self::Waited => "waited",
            Self::Loaded(_) => "loaded",
            Self::LoadFailed(_) => "load-failed",
            Self::Filled => "filled",
            Self::FillRejected => "fill-rejected",
        }
    }
}

impl types::Cause {
    /// The cause's name in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::Rejected => "rejected",
        }
    }
}
