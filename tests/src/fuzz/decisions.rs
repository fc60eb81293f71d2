//! What policies answer.

use corral_host::policy::run::guard::{FlightBounds, FlightStage, Spent, conservative};
use corral_host::policy::{Action, Lifetime, Memo, Named, Plan};

use super::Target;

/// What a policy decides, as the guard sees it.
pub(super) struct Decisions;

impl Target for Decisions {
    fn name(&self) -> &'static str {
        "policy-answer"
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        ["v1:user:42\nuser:42\nteam:7\n", "k\n", "\u{7}\0\0\u{1}\u{2}\nv1:a\nb"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec()
    }

    fn words(&self) -> &'static [&'static str] {
        &["{", "}", " ", "\n", "\u{0}", "é", "::::", "\u{202e}"]
    }

    fn share(&self) -> u64 {
        15
    }

    fn attempt(&mut self, bytes: &[u8]) -> bool {
        decide(bytes);
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split('\n').map(str::to_owned);
        let key = lines.next().unwrap_or_default();
        let tags: Vec<String> = lines.collect();
        let memo = Memo { phase: 0, since_ms: 0, terms: 0, note: 0 };
        let plan = Plan { key, tags, row_columns: Vec::new(), memo };
        match Named::try_new(plan) {
            Ok(named) => {
                let name = named.key.to_string();
                assert!(!name.is_empty() && !name.contains(['{', '}', ' ', '\n']), "{name:?}");
                true
            }
            Err(illegal) => illegal.to_string().len() > 10_000,
        }
    }
}

/// An action at a stage: an action that passes is bounded, and the conservative action passes in
/// place of a refused one.
fn decide(bytes: &[u8]) {
    let number = |at: usize| {
        let part = bytes.iter().cycle().skip(at * 4).take(4);
        part.fold(0, |number: u32, byte| number << 8 | u32::from(*byte))
    };
    let at_hand = number(0).is_multiple_of(2);
    let stage = match number(1) % 7 {
        0 => FlightStage::Begun,
        1 => FlightStage::Looked { at_hand },
        2 => FlightStage::Held,
        3 => FlightStage::Leased,
        4 => FlightStage::Loaded { under_lease: at_hand },
        5 => FlightStage::Failed { at_hand },
        _ => FlightStage::Settled,
    };
    let lifetime = Lifetime { fresh_ms: number(2), stale_ms: number(3), refresh_ms: number(4) };
    let action = match number(5) % 9 {
        0 => Action::Look,
        1 => Action::Claim(number(6)),
        2 => Action::Wait(number(6)),
        3 => Action::Load,
        4 => Action::LoadUncached,
        5 => Action::Fill(lifetime),
        6 => Action::Answer,
        7 => Action::AnswerAndRefresh,
        _ => Action::Fail,
    };
    let kept_at_most = std::time::Duration::from_millis(number(7).into());
    let bounds = FlightBounds { kept_at_most, background: number(8).is_multiple_of(2) };
    let spent = Spent { turns: number(9) % 64, waits: number(10) % 8, left_ms: number(11) };
    if let Ok(Action::Fill(lifetime)) = bounds.check(stage, spent, action) {
        let kept_ms = u64::from(lifetime.fresh_ms) + u64::from(lifetime.stale_ms);
        assert!(stage == FlightStage::Loaded { under_lease: true } && kept_ms <= number(7).into());
    }
    let fresh = Spent { turns: 1, waits: 0, left_ms: 0 };
    assert!(bounds.check(stage, fresh, conservative(stage)).is_ok(), "{stage:?}");
}
