//! Checks of leases: which claims are granted, and which waiters are woken. Races A to D and G.

use super::*;
use std::time::Instant;

/// Far less than the lease that a waiter would otherwise wait for, and far more than a push takes.
const PROMPT: Duration = Duration::from_secs(2);

pub(super) async fn only_one_of_many_claims_is_granted(subject: Subject<'_>) -> Result<()> {
    let name = subject.name("k")?;
    let claims = (0..50).map(|_| subject.claim(&name, token(), LONG));
    let answers = futures_util::future::try_join_all(claims).await?;
    let granted = answers.iter().filter(|a| matches!(a, Claimed::Granted { .. })).count();
    ensure!(granted == 1, "{granted} of 50 claims were granted");
    Ok(())
}

pub(super) async fn a_claim_of_a_held_key_says_for_how_long(subject: Subject<'_>) -> Result<()> {
    let name = subject.name("k")?;
    subject.take(&name, LONG).await?;
    let Claimed::Held { remaining } = subject.claim(&name, token(), SHORT).await? else {
        bail!("a held lease was given away")
    };
    ensure!(remaining <= LONG && remaining > LONG - PATIENCE, "{remaining:?} remain");
    Ok(())
}

pub(super) async fn who_looks_at_a_lease_sees_what_is_left_and_changes_nothing(
    subject: Subject<'_>,
) -> Result<()> {
    let (store, name) = (subject.store, subject.name("k")?);
    ensure!(store.lease_left(&name).await?.is_none(), "it is held already");
    let holder = subject.take(&name, LONG).await?;
    let left = store.lease_left(&name).await?;
    ensure!(left.is_some_and(|left| left <= LONG && left > LONG - PATIENCE), "{left:?} are left");
    ensure!(
        store.fill(&name, holder, &subject.envelope(1)).await?.answer == Filled::Stored,
        "still held"
    );
    ensure!(store.lease_left(&name).await?.is_none(), "it was spent");
    Ok(())
}

pub(super) async fn a_fill_without_a_lease_is_rejected(subject: Subject<'_>) -> Result<()> {
    let (store, name) = (subject.store, subject.name("k")?);
    let envelope = subject.envelope(1);
    ensure!(
        store.fill(&name, token(), &envelope).await?.answer == Filled::Rejected,
        "a fill without a lease"
    );
    let holder = subject.take(&name, LONG).await?;
    ensure!(
        store.fill(&name, token(), &envelope).await?.answer == Filled::Rejected,
        "another's lease"
    );
    ensure!(!subject.has(&name).await?);
    ensure!(store.fill(&name, holder, &envelope).await?.answer == Filled::Stored, "its own lease");
    Ok(())
}

pub(super) async fn a_fill_spends_the_lease(subject: Subject<'_>) -> Result<()> {
    let (store, name) = (subject.store, subject.name("k")?);
    let token = subject.take(&name, LONG).await?;
    ensure!(store.fill(&name, token, &subject.envelope(1)).await?.answer == Filled::Stored);
    ensure!(store.fill(&name, token, &subject.envelope(2)).await?.answer == Filled::Rejected);
    ensure!(store.get(&name).await?.answer.is_some_and(|value| value.loaded_at_ms == 1));
    ensure!(!subject.is_held(&name).await?);
    Ok(())
}

/// Race A.
pub(super) async fn a_late_fill_after_an_invalidation_is_rejected(
    subject: Subject<'_>,
) -> Result<()> {
    let (store, name) = (subject.store, subject.name("k")?);
    let token = subject.take(&name, LONG).await?;
    subject.remove_names(std::slice::from_ref(&name)).await?;
    ensure!(store.fill(&name, token, &subject.envelope(1)).await?.answer == Filled::Rejected);
    ensure!(!subject.has(&name).await?);
    Ok(())
}

/// Races B and C.
pub(super) async fn an_expired_lease_goes_to_the_second_claim_and_the_first_fill_is_rejected(
    subject: Subject<'_>,
) -> Result<()> {
    let (store, name) = (subject.store, subject.name("k")?);
    let first = subject.take(&name, SHORT).await?;
    let second = token();
    eventually("the second claim", async || {
        Ok(matches!(subject.claim(&name, second, LONG).await?, Claimed::Granted { .. }))
    })
    .await?;
    ensure!(store.fill(&name, first, &subject.envelope(1)).await?.answer == Filled::Rejected);
    ensure!(store.fill(&name, second, &subject.envelope(2)).await?.answer == Filled::Stored);
    Ok(())
}

/// Race D.
pub(super) async fn only_the_holder_releases(subject: Subject<'_>) -> Result<()> {
    let (store, name) = (subject.store, subject.name("k")?);
    let holder = subject.take(&name, LONG).await?;
    ensure!(!store.release(&name, token()).await?, "released with another token");
    ensure!(subject.is_held(&name).await?);
    ensure!(store.release(&name, holder).await?);
    ensure!(!store.release(&name, holder).await?, "released twice");
    ensure!(!subject.is_held(&name).await?);
    Ok(())
}

pub(super) async fn only_the_holder_renews_and_the_lease_lives_on(
    subject: Subject<'_>,
) -> Result<()> {
    let (store, name) = (subject.store, subject.name("k")?);
    let holder = subject.take(&name, PATIENCE).await?;
    ensure!(!store.renew(&name, token(), LONG).await?, "renewed with another token");
    ensure!(store.renew(&name, holder, LONG).await?);
    let Claimed::Held { remaining } = subject.claim(&name, token(), SHORT).await? else {
        bail!("a renewed lease was given away")
    };
    ensure!(remaining > PATIENCE, "{remaining:?} remain of a lease that was renewed");
    store.release(&name, holder).await?;
    ensure!(!store.renew(&name, holder, LONG).await?, "renewed after its end");
    Ok(())
}

/// Race G.
pub(super) async fn a_claim_looks_again(subject: Subject<'_>) -> Result<()> {
    let (store, name) = (subject.store, subject.name("k")?);
    let stored = subject.envelope(1000);
    subject.put(&name, &stored).await?;
    let claim =
        |seen_ms| Claim { name: &name, token: token(), lease: LONG, seen_ms, mode: Mode::IfFree };
    ensure!(
        store.claim(claim(0)).await?.answer == Claimed::Found(stored.clone()),
        "nothing was known"
    );
    ensure!(
        store.claim(claim(999)).await?.answer == Claimed::Found(stored.clone()),
        "older was known"
    );
    ensure!(
        matches!(store.claim(claim(1000)).await?.answer, Claimed::Granted { .. }),
        "it was known"
    );
    ensure!(store.claim(claim(999)).await?.answer == Claimed::Found(stored), "held, and newer");
    ensure!(
        matches!(store.claim(claim(1000)).await?.answer, Claimed::Held { .. }),
        "held, and known"
    );
    Ok(())
}

pub(super) async fn a_take_over_revokes_the_lease_and_hands_nothing_back(
    subject: Subject<'_>,
) -> Result<()> {
    let (store, name) = (subject.store, subject.name("k")?);
    subject.put(&name, &subject.envelope(1000)).await?;
    let reader = subject.take(&name, LONG).await?;
    let writer = token();
    let claim = Claim { name: &name, token: writer, lease: LONG, seen_ms: 0, mode: Mode::TakeOver };
    ensure!(matches!(store.claim(claim).await?.answer, Claimed::Granted { .. }));
    ensure!(store.fill(&name, reader, &subject.envelope(2000)).await?.answer == Filled::Rejected);
    ensure!(!store.renew(&name, reader, LONG).await?);
    ensure!(store.fill(&name, writer, &subject.envelope(3000)).await?.answer == Filled::Stored);
    Ok(())
}

pub(super) async fn a_waiter_is_woken_by_the_end_of_the_lease(subject: Subject<'_>) -> Result<()> {
    let (store, name) = (subject.store, subject.name("k")?);
    for end in ["fill", "release", "invalidate"] {
        let token = subject.take(&name, LONG).await?;
        let ended = async {
            // Answers come in the order of the requests, so the wait has begun once these are
            // through.
            for _ in 0..4 {
                subject.step().await?;
            }
            match end {
                "fill" => drop(store.fill(&name, token, &subject.envelope(1)).await?),
                "release" => drop(store.release(&name, token).await?),
                _ => drop(subject.remove_names(std::slice::from_ref(&name)).await?),
            }
            Ok(Instant::now())
        };
        let waited = async {
            // A push may come too early; what counts is that the caller learns of the end soon.
            while subject.is_held(&name).await? {
                store.settled(&name, LONG).await;
            }
            Ok::<_, anyhow::Error>(Instant::now())
        };
        let (woken, ended) = futures_util::future::try_join(waited, ended).await?;
        let late = woken.saturating_duration_since(ended);
        ensure!(late < PROMPT, "woken {late:?} after the {end}");
    }
    Ok(())
}

pub(super) async fn a_waiter_is_not_kept_beyond_what_it_allows(subject: Subject<'_>) -> Result<()> {
    let name = subject.name("k")?;
    subject.take(&name, LONG).await?;
    let begun = Instant::now();
    subject.store.settled(&name, SHORT).await;
    ensure!(begun.elapsed() < PROMPT, "kept for {:?}", begun.elapsed());
    ensure!(subject.is_held(&name).await?);
    Ok(())
}

pub(super) async fn a_wait_for_a_lease_that_ended_before_is_short(
    subject: Subject<'_>,
) -> Result<()> {
    let (free, expiring) = (subject.name("free")?, subject.name("expiring")?);
    subject.take(&expiring, SHORT).await?;
    let begun = Instant::now();
    subject.store.settled(&free, LONG).await;
    while subject.is_held(&expiring).await? {
        subject.store.settled(&expiring, LONG).await;
    }
    ensure!(begun.elapsed() < PROMPT, "kept for {:?}", begun.elapsed());
    Ok(())
}
