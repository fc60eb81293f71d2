//! Checks of values and their lifetimes.

use super::*;
use corral_host::store::Tracked;

pub(super) async fn a_key_without_a_value_has_none(subject: Subject<'_>) -> Result<()> {
    ensure!(!subject.has(&subject.name("nobody")?).await?);
    Ok(())
}

pub(super) async fn what_was_filled_is_read_back(subject: Subject<'_>) -> Result<()> {
    let (store, name) = (subject.store, subject.name("k")?);
    for loaded_at_ms in [1, 2] {
        let envelope = subject.envelope(loaded_at_ms);
        subject.put(&name, &envelope).await?;
        ensure!(store.get(&name).await?.answer == Some(envelope));
    }
    Ok(())
}

/// Some stores read and write large values differently from small ones.
pub(super) async fn a_value_of_any_size_is_filled_read_and_found(
    subject: Subject<'_>,
) -> Result<()> {
    const AROUND: usize = 16 << 10;
    let sizes = (AROUND - 128..AROUND + 16).step_by(9).chain([0, 40_000, 3 << 20]);
    let (store, name) = (subject.store, subject.name("k")?);
    for (size, loaded_at_ms) in sizes.zip(1..) {
        let body = Some(Bytes::from(vec![b'x'; size]));
        let envelope = Envelope { body, ..subject.envelope(loaded_at_ms) };
        subject.put(&name, &envelope).await?;
        let read = store.get(&name).await?.answer;
        ensure!(read.as_ref() == Some(&envelope), "read of {size} bytes");
        let Tracked { envelope: tracked, .. } = store.get_tracked(&name).await?.answer;
        ensure!(tracked.as_ref() == Some(&envelope), "tracked read of {size} bytes");
        let claim =
            Claim { name: &name, token: token(), lease: LONG, seen_ms: 0, mode: Mode::IfFree };
        let Claimed::Found(found) = store.claim(claim).await?.answer else {
            bail!("a claim did not find {size} bytes")
        };
        ensure!(found == envelope, "claim of {size} bytes");
        ensure!(!subject.is_held(&name).await?, "a claim that finds a value takes no lease");
    }
    // A value of the same size without a lease is not stored.
    let late = Envelope { body: Some(Bytes::from(vec![b'y'; 40_000])), ..subject.envelope(99) };
    ensure!(store.fill(&name, token(), &late).await?.answer == Filled::Rejected);
    ensure!(store.get(&name).await?.answer.is_some_and(|value| value.loaded_at_ms != 99));
    Ok(())
}

pub(super) async fn a_missing_row_is_a_value(subject: Subject<'_>) -> Result<()> {
    let name = subject.name("k")?;
    let missing = Envelope { body: None, ..subject.envelope(1) };
    subject.put(&name, &missing).await?;
    ensure!(subject.store.get(&name).await?.answer == Some(missing));
    Ok(())
}

pub(super) async fn a_value_is_gone_when_its_lifetime_is_over(subject: Subject<'_>) -> Result<()> {
    let (short, long) = (subject.name("short")?, subject.name("long")?);
    subject.put(&long, &subject.envelope(1)).await?;
    subject.put(&short, &subject.envelope_for(1, SHORT)).await?;
    eventually("the value's end", async || Ok(!subject.has(&short).await?)).await?;
    ensure!(subject.has(&long).await?);
    Ok(())
}

pub(super) async fn a_fill_whose_lifetime_is_over_is_accepted_and_leaves_nothing(
    subject: Subject<'_>,
) -> Result<()> {
    let name = subject.name("k")?;
    subject.put(&name, &subject.envelope(1)).await?;
    let over = Envelope { stale_until_ms: subject.store.now_ms() - 10_000, ..subject.envelope(2) };
    subject.put(&name, &over).await?;
    ensure!(!subject.has(&name).await?, "a value without a lifetime was kept");
    ensure!(!subject.is_held(&name).await?, "the lease was not spent");
    Ok(())
}

pub(super) async fn an_invalidation_removes_values_and_counts_them(
    subject: Subject<'_>,
) -> Result<()> {
    let names = [subject.name("valued")?, subject.name("leased")?, subject.name("empty")?];
    subject.put(&names[0], &subject.envelope(1)).await?;
    subject.take(&names[1], LONG).await?;
    ensure!(subject.remove_names(&names).await? == 2);
    ensure!(!subject.has(&names[0]).await?, "the value is still there");
    ensure!(!subject.is_held(&names[1]).await?, "the lease is still there");
    ensure!(subject.remove_names(&[]).await? == 0);
    Ok(())
}

pub(super) async fn an_invalidation_of_many_keys_leaves_the_others(
    subject: Subject<'_>,
) -> Result<()> {
    let names = (0..600).map(|n| subject.name(&n.to_string())).collect::<Result<Vec<_>>>()?;
    for name in [&names[0], &names[299], &names[598], &names[599]] {
        subject.put(name, &subject.envelope(1)).await?;
    }
    ensure!(subject.remove_names(&names[..599]).await? == 3);
    ensure!(!subject.has(&names[598]).await? && subject.has(&names[599]).await?);
    Ok(())
}

pub(super) async fn the_clock_runs_and_grants_agree_with_it(subject: Subject<'_>) -> Result<()> {
    let (store, name) = (subject.store, subject.name("k")?);
    subject.step().await?;
    let before_ms = store.now_ms();
    let claim =
        Claim { name: &name, token: token(), lease: LONG, seen_ms: 0, mode: Mode::TakeOver };
    let Claimed::Granted { now_ms } = store.claim(claim).await?.answer else {
        bail!("not granted")
    };
    let after_ms = store.now_ms();
    // Half a round trip and a millisecond of rounding, with a wide margin.
    ensure!(before_ms <= now_ms + 100 && now_ms <= after_ms + 100);
    ensure!(before_ms <= after_ms);
    subject.pass(after_ms).await
}

pub(super) async fn one_invalidation_takes_names_and_tags_alike(
    subject: Subject<'_>,
) -> Result<()> {
    let names = ["named", "tagged", "both", "other"].map(|name| subject.name(name));
    let names = names.into_iter().collect::<Result<Vec<_>>>()?;
    let (first, second) = (subject.tag("first")?, subject.tag("second")?);
    subject.put(&names[0], &subject.envelope(1)).await?;
    subject.put_tagged(&first, &names[1]).await?;
    subject.put_tagged(&second, &names[2]).await?;
    // The index has this name under the other tag, too.
    subject.index_for(&first, &names[2], LONG).await?;
    subject.put(&names[3], &subject.envelope(1)).await?;
    let doomed = [
        Doomed::Tag(first),
        Doomed::Name(names[0].clone()),
        Doomed::Name(names[2].clone()),
        Doomed::Tag(second),
        Doomed::Tag(subject.tag("nobody's")?),
    ];
    ensure!(subject.remove(&doomed, LONG).await? == 3, "each name counts once");
    for name in &names[..3] {
        ensure!(!subject.has(name).await?, "{name} survived");
    }
    ensure!(subject.has(&names[3]).await?);
    ensure!(subject.remove(&[], LONG).await? == 0);
    Ok(())
}
