//! Checks of tags: indexes, marks, bulk invalidation. Race F.

use super::*;

pub(super) async fn a_tag_invalidation_removes_the_values_of_all_members(
    subject: Subject<'_>,
) -> Result<()> {
    let tag = subject.tag("t")?;
    let keys = [subject.key("a")?, subject.key("b")?];
    for key in &keys {
        subject.put_tagged(&tag, key).await?;
    }
    ensure!(subject.store.invalidate_tag(&tag, LONG).await?.keys == 2);
    ensure!(!subject.has(&keys[0]).await? && !subject.has(&keys[1]).await?);
    Ok(())
}

pub(super) async fn a_tag_invalidation_removes_more_than_one_chunk(
    subject: Subject<'_>,
) -> Result<()> {
    const MEMBERS: u64 = 700;
    let (store, tag, until_ms) = (subject.store, subject.tag("t")?, subject.after(LONG));
    for n in 0..MEMBERS {
        let key = subject.key(&n.to_string())?;
        // Scores that are all equal, and scores that differ: a walk must manage both.
        store.index(&tag, &key, until_ms + n / 350).await?;
        subject.put(&key, &subject.envelope(1)).await?;
    }
    ensure!(store.invalidate_tag(&tag, LONG).await?.keys == MEMBERS);
    for n in 0..MEMBERS {
        ensure!(!subject.has(&subject.key(&n.to_string())?).await?, "value {n} survived");
    }
    Ok(())
}

/// Race F: indexed before it is loaded, so the invalidation finds it and revokes the lease.
pub(super) async fn a_load_in_progress_is_revoked_by_its_tag(subject: Subject<'_>) -> Result<()> {
    let (store, tag, key) = (subject.store, subject.tag("t")?, subject.key("k")?);
    let token = subject.take(&key, LONG).await?;
    subject.index_for(&tag, &key, LONG).await?;
    ensure!(store.invalidate_tag(&tag, LONG).await?.keys == 1, "a lease counts");
    ensure!(store.fill(&key, token, &subject.envelope(1)).await? == Filled::Rejected);
    Ok(())
}

pub(super) async fn other_tags_and_keys_are_left_alone(subject: Subject<'_>) -> Result<()> {
    let (tag, other_tag) = (subject.tag("t")?, subject.tag("t2")?);
    let (tagged, other, untagged) =
        (subject.key("tagged")?, subject.key("other")?, subject.key("untagged")?);
    subject.put_tagged(&tag, &tagged).await?;
    subject.put_tagged(&other_tag, &other).await?;
    subject.put(&untagged, &subject.envelope(1)).await?;
    subject.store.invalidate_tag(&tag, LONG).await?;
    ensure!(!subject.has(&tagged).await?);
    ensure!(subject.has(&other).await? && subject.has(&untagged).await?);
    let indexed = subject.index_for(&other_tag, &other, LONG).await?;
    ensure!(indexed == Indexed::Clear, "a mark on another tag");
    ensure!(subject.store.invalidate_tag(&other_tag, LONG).await?.keys == 1);
    Ok(())
}

pub(super) async fn a_repeated_tag_invalidation_finds_nothing(subject: Subject<'_>) -> Result<()> {
    let (store, tag, key) = (subject.store, subject.tag("t")?, subject.key("k")?);
    subject.put_tagged(&tag, &key).await?;
    ensure!(store.invalidate_tag(&tag, LONG).await?.keys == 1);
    subject.put(&key, &subject.envelope(2)).await?;
    ensure!(store.invalidate_tag(&tag, LONG).await?.keys == 0, "the key had left the index");
    ensure!(subject.has(&key).await?);
    Ok(())
}

pub(super) async fn a_key_indexed_again_is_found_again(subject: Subject<'_>) -> Result<()> {
    let (store, tag, key) = (subject.store, subject.tag("t")?, subject.key("k")?);
    for _ in 0..3 {
        subject.put_tagged(&tag, &key).await?;
        ensure!(store.invalidate_tag(&tag, LONG).await?.keys == 1);
    }
    Ok(())
}

pub(super) async fn a_mark_is_seen_and_ends(subject: Subject<'_>) -> Result<()> {
    let (tag, key) = (subject.tag("t")?, subject.key("k")?);
    ensure!(subject.index_for(&tag, &key, LONG).await? == Indexed::Clear, "marked from the start");
    subject.store.invalidate_tag(&tag, LONG).await?;
    ensure!(subject.index_for(&tag, &key, LONG).await? == Indexed::Marked, "no mark");
    subject.store.invalidate_tag(&tag, SHORT).await?;
    eventually("the mark's end", async || {
        Ok(subject.index_for(&tag, &key, LONG).await? == Indexed::Clear)
    })
    .await
}

pub(super) async fn an_index_is_kept_until_its_longest_member_ends(
    subject: Subject<'_>,
) -> Result<()> {
    let (store, tag) = (subject.store, subject.tag("t")?);
    let (short, long) = (subject.key("short")?, subject.key("long")?);
    let short_until_ms = subject.after(SHORT);
    store.index(&tag, &short, short_until_ms).await?;
    subject.put_tagged(&tag, &long).await?;
    subject.pass(short_until_ms).await?;
    // Trims what is over; what is not stays.
    subject.index_for(&tag, &subject.key("trigger")?, LONG).await?;
    ensure!(store.invalidate_tag(&tag, LONG).await?.keys == 1, "the long-lived member was lost");
    Ok(())
}

pub(super) async fn a_short_lived_member_does_not_shorten_the_index(
    subject: Subject<'_>,
) -> Result<()> {
    let (store, tag) = (subject.store, subject.tag("t")?);
    let (long, short) = (subject.key("long")?, subject.key("short")?);
    subject.put_tagged(&tag, &long).await?;
    let short_until_ms = subject.after(SHORT);
    store.index(&tag, &short, short_until_ms).await?;
    subject.pass(short_until_ms).await?;
    ensure!(store.invalidate_tag(&tag, LONG).await?.keys == 1, "the long-lived member was lost");
    Ok(())
}

pub(super) async fn a_key_keeps_its_longest_expiry_in_an_index(subject: Subject<'_>) -> Result<()> {
    let (store, tag, key) = (subject.store, subject.tag("t")?, subject.key("k")?);
    subject.put_tagged(&tag, &key).await?;
    let short_until_ms = subject.after(SHORT);
    store.index(&tag, &key, short_until_ms).await?;
    subject.pass(short_until_ms).await?;
    subject.index_for(&tag, &subject.key("trigger")?, LONG).await?;
    ensure!(store.invalidate_tag(&tag, LONG).await?.keys == 1, "the member was lost");
    Ok(())
}

/// A load that the invalidation did not revoke must be found by the next one.
pub(super) async fn an_invalidation_keeps_what_is_indexed_meanwhile(
    subject: Subject<'_>,
) -> Result<()> {
    const ROUNDS: usize = 70;
    let (store, tag, key) = (subject.store, subject.tag("t")?, subject.key("k")?);
    for round in 0..ROUNDS {
        subject.put_tagged(&tag, &key).await?;
        let load = async {
            // Shifts the load by a step of the invalidation in each round.
            for _ in 0..round % 7 {
                store.ping().await?;
            }
            // Sent together, as a host that is nearer to the store may do both within one step.
            // The index keeps the entry's longer life: its expiry alone does not tell them apart.
            let claim = subject.take(&key, LONG);
            let index = subject.index_for(&tag, &key, LONG / 2);
            futures_util::future::try_join(claim, index).await.map(|(token, _)| token)
        };
        let invalidation =
            async { Ok::<_, anyhow::Error>(store.invalidate_tag(&tag, LONG).await?) };
        let (_, token) = futures_util::future::try_join(invalidation, load).await?;
        if store.renew(&key, token, LONG).await? {
            let removed = store.invalidate_tag(&tag, LONG).await?;
            ensure!(removed.keys == 1, "round {round}: a key under load had left the index");
        }
    }
    Ok(())
}

/// A refresh or a write-through indexes a key whose old value is still there. The invalidation, which
/// may be under way, answers for that value all the same.
pub(super) async fn an_invalidation_removes_the_value_of_what_is_indexed_meanwhile(
    subject: Subject<'_>,
) -> Result<()> {
    const ROUNDS: usize = 35;
    let (store, tag, key) = (subject.store, subject.tag("t")?, subject.key("k")?);
    for round in 0..ROUNDS {
        subject.put_tagged(&tag, &key).await?;
        let index = async {
            for _ in 0..round % 7 {
                store.ping().await?;
            }
            subject.index_for(&tag, &key, LONG).await
        };
        let invalidation =
            async { Ok::<_, anyhow::Error>(store.invalidate_tag(&tag, LONG).await?) };
        futures_util::future::try_join(invalidation, index).await?;
        ensure!(!subject.has(&key).await?, "round {round}: the value survived");
    }
    Ok(())
}
