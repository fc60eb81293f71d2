//! Checks of tags: indexes, marks, bulk invalidation. Races F and Q.

use super::*;

pub(super) async fn a_tag_invalidation_removes_the_values_of_all_members(
    subject: Subject<'_>,
) -> Result<()> {
    let tag = subject.tag("t")?;
    let names = [subject.name("a")?, subject.name("b")?];
    for name in &names {
        subject.put_tagged(&tag, name).await?;
    }
    ensure!(subject.remove_tag(&tag, LONG).await? == 2);
    ensure!(!subject.has(&names[0]).await? && !subject.has(&names[1]).await?);
    Ok(())
}

pub(super) async fn a_tag_invalidation_removes_more_than_one_chunk(
    subject: Subject<'_>,
) -> Result<()> {
    const MEMBERS: u64 = 700;
    let (tag, until_ms) = (subject.tag("t")?, subject.after(LONG));
    for n in 0..MEMBERS {
        let name = subject.name(&n.to_string())?;
        // Equal scores and different scores, since a walk must manage both.
        subject.index_until(&tag, &name, until_ms + n / 350).await?;
        subject.put(&name, &subject.envelope(1)).await?;
    }
    ensure!(subject.remove_tag(&tag, LONG).await? == MEMBERS);
    for n in 0..MEMBERS {
        ensure!(!subject.has(&subject.name(&n.to_string())?).await?, "value {n} survived");
    }
    Ok(())
}

/// Race F: the name is indexed before the load, so the invalidation finds it and revokes the lease.
pub(super) async fn a_load_in_progress_is_revoked_by_its_tag(subject: Subject<'_>) -> Result<()> {
    let (tag, name) = (subject.tag("t")?, subject.name("k")?);
    let token = subject.take(&name, LONG).await?;
    subject.index_for(&tag, &name, LONG).await?;
    ensure!(subject.remove_tag(&tag, LONG).await? == 1, "a lease counts");
    ensure!(
        subject.store.fill(&name, token, &subject.envelope(1)).await?.answer == Filled::Rejected
    );
    Ok(())
}

pub(super) async fn other_tags_and_keys_are_left_alone(subject: Subject<'_>) -> Result<()> {
    let (tag, other_tag) = (subject.tag("t")?, subject.tag("t2")?);
    let (tagged, other, untagged) =
        (subject.name("tagged")?, subject.name("other")?, subject.name("untagged")?);
    subject.put_tagged(&tag, &tagged).await?;
    subject.put_tagged(&other_tag, &other).await?;
    subject.put(&untagged, &subject.envelope(1)).await?;
    subject.remove_tag(&tag, LONG).await?;
    ensure!(!subject.has(&tagged).await?);
    ensure!(subject.has(&other).await? && subject.has(&untagged).await?);
    let indexed = subject.index_for(&other_tag, &other, LONG).await?;
    ensure!(indexed.is_none(), "a mark on another tag");
    ensure!(subject.remove_tag(&other_tag, LONG).await? == 1);
    Ok(())
}

pub(super) async fn a_repeated_tag_invalidation_finds_nothing(subject: Subject<'_>) -> Result<()> {
    let (tag, name) = (subject.tag("t")?, subject.name("k")?);
    subject.put_tagged(&tag, &name).await?;
    ensure!(subject.remove_tag(&tag, LONG).await? == 1);
    subject.put(&name, &subject.envelope(2)).await?;
    ensure!(subject.remove_tag(&tag, LONG).await? == 0, "the name had left the index");
    ensure!(subject.has(&name).await?);
    Ok(())
}

pub(super) async fn a_key_indexed_again_is_found_again(subject: Subject<'_>) -> Result<()> {
    let (tag, name) = (subject.tag("t")?, subject.name("k")?);
    for _ in 0..3 {
        subject.put_tagged(&tag, &name).await?;
        ensure!(subject.remove_tag(&tag, LONG).await? == 1);
    }
    Ok(())
}

pub(super) async fn a_mark_is_seen_and_ends(subject: Subject<'_>) -> Result<()> {
    let (tag, name) = (subject.tag("t")?, subject.name("k")?);
    ensure!(subject.index_for(&tag, &name, LONG).await?.is_none(), "marked from the start");
    subject.remove_tag(&tag, LONG).await?;
    ensure!(subject.index_for(&tag, &name, LONG).await?.is_some(), "no mark");
    subject.remove_tag(&tag, SHORT).await?;
    eventually("the mark's end", async || Ok(subject.index_for(&tag, &name, LONG).await?.is_none()))
        .await
}

pub(super) async fn an_index_is_kept_until_its_longest_member_ends(
    subject: Subject<'_>,
) -> Result<()> {
    let tag = subject.tag("t")?;
    let (short, long) = (subject.name("short")?, subject.name("long")?);
    let short_until_ms = subject.after(SHORT);
    subject.index_until(&tag, &short, short_until_ms).await?;
    subject.put_tagged(&tag, &long).await?;
    subject.pass(short_until_ms).await?;
    // This trims the members that have expired and keeps the others.
    subject.index_for(&tag, &subject.name("trigger")?, LONG).await?;
    ensure!(subject.remove_tag(&tag, LONG).await? == 1, "the long-lived member was lost");
    Ok(())
}

pub(super) async fn a_short_lived_member_does_not_shorten_the_index(
    subject: Subject<'_>,
) -> Result<()> {
    let tag = subject.tag("t")?;
    let (long, short) = (subject.name("long")?, subject.name("short")?);
    subject.put_tagged(&tag, &long).await?;
    let short_until_ms = subject.after(SHORT);
    subject.index_until(&tag, &short, short_until_ms).await?;
    subject.pass(short_until_ms).await?;
    ensure!(subject.remove_tag(&tag, LONG).await? == 1, "the long-lived member was lost");
    Ok(())
}

pub(super) async fn a_key_keeps_its_longest_expiry_in_an_index(subject: Subject<'_>) -> Result<()> {
    let (tag, name) = (subject.tag("t")?, subject.name("k")?);
    subject.put_tagged(&tag, &name).await?;
    let short_until_ms = subject.after(SHORT);
    subject.index_until(&tag, &name, short_until_ms).await?;
    subject.pass(short_until_ms).await?;
    subject.index_for(&tag, &subject.name("trigger")?, LONG).await?;
    ensure!(subject.remove_tag(&tag, LONG).await? == 1, "the member was lost");
    Ok(())
}

/// The next invalidation must find a load that this one did not revoke.
pub(super) async fn an_invalidation_keeps_what_is_indexed_meanwhile(
    subject: Subject<'_>,
) -> Result<()> {
    const ROUNDS: usize = 70;
    let (tag, name) = (subject.tag("t")?, subject.name("k")?);
    for round in 0..ROUNDS {
        subject.put_tagged(&tag, &name).await?;
        let load = async {
            // Delays the load by one more step of the invalidation in each round.
            for _ in 0..round % 7 {
                subject.step().await?;
            }
            let token = subject.take(&name, LONG).await?;
            // The index keeps the longer of an entry's lives, so the expiry alone does not tell the
            // two apart.
            subject.index_for(&tag, &name, LONG / 2).await?;
            Ok(token)
        };
        let invalidation = subject.remove_tag(&tag, LONG);
        let (_, token) = futures_util::future::try_join(invalidation, load).await?;
        if subject.store.renew(&name, token, LONG).await? {
            let removed = subject.remove_tag(&tag, LONG).await?;
            ensure!(removed == 1, "round {round}: a name under load had left the index");
        }
    }
    Ok(())
}

/// Race Q: each walk forgets only members under its own mark. The next invalidation must find a
/// load that none of these revoked.
pub(super) async fn overlapping_invalidations_forget_nothing_that_is_indexed_meanwhile(
    subject: Subject<'_>,
) -> Result<()> {
    const ROUNDS: usize = 70;
    let (store, tag, name) = (subject.store, subject.tag("t")?, subject.name("k")?);
    let after = async |steps: usize| {
        for _ in 0..steps {
            subject.step().await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    for round in 0..ROUNDS {
        subject.put_tagged(&tag, &name).await?;
        let load = async {
            after(round % 7).await?;
            let token = subject.take(&name, LONG).await?;
            subject.index_for(&tag, &name, LONG / 2).await?;
            Ok(token)
        };
        let second = async {
            after(round % 5).await?;
            subject.remove_tag(&tag, LONG).await
        };
        let first = subject.remove_tag(&tag, LONG);
        let (_, _, token) = futures_util::future::try_join3(first, second, load).await?;
        if store.renew(&name, token, LONG).await? {
            let removed = subject.remove_tag(&tag, LONG).await?;
            ensure!(removed == 1, "round {round}: a name under load had left the index");
        }
    }
    Ok(())
}

pub(super) async fn a_mark_says_when_it_was_set_and_in_which_epoch(
    subject: Subject<'_>,
) -> Result<()> {
    let (store, tag, name) = (subject.store, subject.tag("t")?, subject.name("k")?);
    let before_ms = store.beat(&[RANGE]).await?.answer.now_ms;
    let epoch = Epoch(u64::MAX - 1);
    let marking = Marking { lasts: LONG, epoch };
    invalidate(store, &[Doomed::Tag(tag.clone())], marking).await?;
    let indexed = store.index(&name, std::slice::from_ref(&tag), subject.after(LONG)).await?.answer;
    let [mark] = indexed.marks[..] else { bail!("one mark, not {:?}", indexed.marks) };
    ensure!(mark.epoch == epoch, "{mark:?}");
    ensure!(before_ms <= mark.at_ms && mark.at_ms <= indexed.now_ms, "{before_ms} {indexed:?}");
    // The newest mark counts.
    subject.remove_tag(&tag, LONG).await?;
    let newer = subject.index_for(&tag, &name, LONG).await?.context("no mark")?;
    ensure!(newer.epoch == EPOCH && newer.at_ms >= mark.at_ms, "{newer:?} after {mark:?}");
    Ok(())
}

pub(super) async fn a_name_is_written_into_many_indexes_at_once(
    subject: Subject<'_>,
) -> Result<()> {
    let name = subject.name("k")?;
    let tags = ["a", "b", "c"].map(|tag| subject.tag(tag));
    let tags = tags.into_iter().collect::<Result<Vec<_>>>()?;
    subject.remove_tag(&tags[1], LONG).await?;
    for (tag, marked) in tags.iter().zip([1, 2, 2]) {
        let indexed = subject.store.index(&name, &tags, subject.after(LONG)).await?.answer;
        ensure!(indexed.marks.len() == marked, "{indexed:?} of {marked} marked tags");
        subject.put(&name, &subject.envelope(1)).await?;
        ensure!(subject.remove_tag(tag, LONG).await? == 1, "{tag} did not find the name");
        ensure!(!subject.has(&name).await?);
    }
    Ok(())
}

/// A refresh or a write-through indexes a name whose old value is still there. An invalidation that
/// is under way has to remove that value all the same.
pub(super) async fn an_invalidation_removes_the_value_of_what_is_indexed_meanwhile(
    subject: Subject<'_>,
) -> Result<()> {
    const ROUNDS: usize = 35;
    let (tag, name) = (subject.tag("t")?, subject.name("k")?);
    for round in 0..ROUNDS {
        subject.put_tagged(&tag, &name).await?;
        let index = async {
            for _ in 0..round % 7 {
                subject.step().await?;
            }
            subject.index_for(&tag, &name, LONG).await
        };
        let invalidation = subject.remove_tag(&tag, LONG);
        futures_util::future::try_join(invalidation, index).await?;
        ensure!(!subject.has(&name).await?, "round {round}: the value survived");
    }
    Ok(())
}
