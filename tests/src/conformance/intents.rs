use std::time::Duration;

use anyhow::{Result, ensure};
use corral_host::store::{Intent, IntentTarget, StoreKey};

use super::{LONG, RANGE, SHORT, Subject, eventually};

impl Subject<'_> {
    fn intent(&self, name: &str) -> Result<Intent> {
        let arguments = vec![("id".to_owned(), Some(name.to_owned())), ("at".to_owned(), None)];
        let targets = vec![
            IntentTarget::Read { entity: "user".to_owned(), arguments },
            IntentTarget::Key(StoreKey::try_new(&format!("{}:{name}", self.prefix))?),
            IntentTarget::Tag(self.tag(name)?),
        ];
        Ok(Intent::new(rand::random(), targets, Some(7)))
    }

    async fn due(&self, hold: Duration) -> Result<Vec<Intent>> {
        let due = self.store.due(&[RANGE], hold).await?;
        Ok(due.into_iter().map(|(_range, intent)| intent).collect())
    }

    /// Whether `intent` is due; holds it again if it is. Other intents may be due at the same time.
    async fn takes(&self, intent: &Intent, hold: Duration) -> Result<bool> {
        Ok(self.due(hold).await?.contains(intent))
    }
}

pub(super) async fn an_intent_falls_due_after_its_hold_and_not_before(
    subject: Subject<'_>,
) -> Result<()> {
    let (soon, late) = (subject.intent("soon")?, subject.intent("late")?);
    subject.store.announce(RANGE, &late, LONG).await?;
    subject.store.announce(RANGE, &soon, SHORT).await?;
    ensure!(!subject.takes(&soon, LONG).await?, "it is due at once");
    eventually("an intent to fall due", async || subject.takes(&soon, LONG).await).await?;
    ensure!(!subject.takes(&late, LONG).await?, "one is due before its time");
    subject.store.withdraw(RANGE, &soon).await?;
    Ok(subject.store.withdraw(RANGE, &late).await?)
}

pub(super) async fn a_withdrawn_intent_never_falls_due(subject: Subject<'_>) -> Result<()> {
    let (gone, other) = (subject.intent("gone")?, subject.intent("other")?);
    subject.store.announce(RANGE, &gone, SHORT).await?;
    subject.store.announce(RANGE, &other, SHORT).await?;
    subject.store.withdraw(RANGE, &gone).await?;
    let mut seen = false;
    let look = async |seen: &mut bool| {
        let due = subject.due(LONG).await?;
        *seen |= due.contains(&gone);
        Ok::<_, anyhow::Error>(due.contains(&other))
    };
    let until_ms = subject.after(SHORT);
    subject.pass(until_ms).await?;
    ensure!(look(&mut seen).await?, "the other one is not due");
    ensure!(!seen, "a withdrawn intent is due");
    // Withdrawing an intent that is not there is no error: a commit may be rejected after its
    // intent was lost.
    subject.store.withdraw(RANGE, &gone).await?;
    Ok(subject.store.withdraw(RANGE, &other).await?)
}

pub(super) async fn a_due_intent_is_held_for_whoever_took_it(subject: Subject<'_>) -> Result<()> {
    let intent = subject.intent("i")?;
    subject.store.announce(RANGE, &intent, SHORT).await?;
    eventually("an intent to fall due", async || subject.takes(&intent, SHORT).await).await?;
    ensure!(!subject.takes(&intent, SHORT).await?, "two hosts carry it out at once");
    eventually("it to fall due again", async || subject.takes(&intent, LONG).await).await?;
    Ok(subject.store.withdraw(RANGE, &intent).await?)
}

pub(super) async fn an_intent_announced_again_falls_due_later(subject: Subject<'_>) -> Result<()> {
    let intent = subject.intent("i")?;
    subject.store.announce(RANGE, &intent, SHORT).await?;
    subject.store.announce(RANGE, &intent, LONG).await?;
    // A second announcement never makes an intent due earlier: the announcement of a slow writer
    // may overtake the one before.
    subject.store.announce(RANGE, &intent, SHORT).await?;
    let until_ms = subject.after(SHORT);
    subject.pass(until_ms).await?;
    ensure!(!subject.takes(&intent, LONG).await?, "it is due as if announced once");
    Ok(subject.store.withdraw(RANGE, &intent).await?)
}

pub(super) async fn many_intents_fall_due_with_all_their_names(subject: Subject<'_>) -> Result<()> {
    let intents = (0..40).map(|n| subject.intent(&n.to_string())).collect::<Result<Vec<_>>>()?;
    for intent in &intents {
        subject.store.announce(RANGE, intent, SHORT).await?;
    }
    let mut left = intents.clone();
    for _ in 0..PATIENT_LOOKS {
        if left.is_empty() {
            break;
        }
        let until_ms = subject.after(SHORT);
        subject.pass(until_ms).await?;
        let due = subject.due(LONG).await?;
        left.retain(|intent| !due.contains(intent));
    }
    ensure!(left.is_empty(), "{} of {} never fell due", left.len(), intents.len());
    for intent in &intents {
        subject.store.withdraw(RANGE, intent).await?;
    }
    Ok(())
}

pub(super) async fn an_intent_comes_back_with_all_that_it_says(subject: Subject<'_>) -> Result<()> {
    let intent = subject.intent("i")?;
    let without = Intent::new(rand::random(), intent.targets().to_vec(), None);
    for intent in [&intent, &without] {
        subject.store.announce(RANGE, intent, SHORT).await?;
        let found = async || {
            let due = subject.due(LONG).await?;
            Ok(due.into_iter().any(|due| {
                due == *intent
                    && due.transaction() == intent.transaction()
                    && due.targets() == intent.targets()
            }))
        };
        eventually("an intent to fall due", found).await?;
        subject.store.withdraw(RANGE, intent).await?;
    }
    Ok(())
}

/// One look may take only some of the due intents.
const PATIENT_LOOKS: usize = 50;
