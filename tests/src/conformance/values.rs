//! Checks of values and their lifetimes.

use super::*;

pub(super) async fn a_key_without_a_value_has_none(subject: Subject<'_>) -> Result<()> {
    ensure!(!subject.has(&subject.key("nobody")?).await?);
    Ok(())
}

pub(super) async fn what_was_filled_is_read_back(subject: Subject<'_>) -> Result<()> {
    let (store, key) = (subject.store, subject.key("k")?);
    for loaded_at_ms in [1, 2] {
        let envelope = subject.envelope(loaded_at_ms);
        subject.put(&key, &envelope).await?;
        ensure!(store.get(&key).await? == Some(envelope));
    }
    Ok(())
}

pub(super) async fn a_missing_row_is_a_value(subject: Subject<'_>) -> Result<()> {
    let key = subject.key("k")?;
    let missing = Envelope { body: None, ..subject.envelope(1) };
    subject.put(&key, &missing).await?;
    ensure!(subject.store.get(&key).await? == Some(missing));
    Ok(())
}

pub(super) async fn a_value_is_gone_when_its_lifetime_is_over(subject: Subject<'_>) -> Result<()> {
    let (short, long) = (subject.key("short")?, subject.key("long")?);
    subject.put(&long, &subject.envelope(1)).await?;
    subject.put(&short, &subject.envelope_for(1, SHORT)).await?;
    eventually("the value's end", async || Ok(!subject.has(&short).await?)).await?;
    ensure!(subject.has(&long).await?);
    Ok(())
}

pub(super) async fn a_fill_whose_lifetime_is_over_is_accepted_and_leaves_nothing(
    subject: Subject<'_>,
) -> Result<()> {
    let key = subject.key("k")?;
    subject.put(&key, &subject.envelope(1)).await?;
    let over = Envelope { stale_until_ms: subject.store.now_ms() - 10_000, ..subject.envelope(2) };
    subject.put(&key, &over).await?;
    ensure!(!subject.has(&key).await?, "a value without a lifetime was kept");
    ensure!(!subject.is_held(&key).await?, "the lease was not spent");
    Ok(())
}

pub(super) async fn an_invalidation_removes_values_and_counts_them(
    subject: Subject<'_>,
) -> Result<()> {
    let keys = [subject.key("valued")?, subject.key("leased")?, subject.key("empty")?];
    subject.put(&keys[0], &subject.envelope(1)).await?;
    subject.take(&keys[1], LONG).await?;
    ensure!(subject.store.invalidate_keys(&keys).await?.keys == 2);
    ensure!(!subject.has(&keys[0]).await?, "the value is still there");
    ensure!(!subject.is_held(&keys[1]).await?, "the lease is still there");
    ensure!(subject.store.invalidate_keys(&[]).await?.keys == 0);
    Ok(())
}

pub(super) async fn an_invalidation_of_many_keys_leaves_the_others(
    subject: Subject<'_>,
) -> Result<()> {
    let keys = (0..600).map(|n| subject.key(&n.to_string())).collect::<Result<Vec<_>>>()?;
    for key in [&keys[0], &keys[299], &keys[598], &keys[599]] {
        subject.put(key, &subject.envelope(1)).await?;
    }
    ensure!(subject.store.invalidate_keys(&keys[..599]).await?.keys == 3);
    ensure!(!subject.has(&keys[598]).await? && subject.has(&keys[599]).await?);
    Ok(())
}

pub(super) async fn the_clock_runs_and_grants_agree_with_it(subject: Subject<'_>) -> Result<()> {
    let (store, key) = (subject.store, subject.key("k")?);
    store.ping().await?;
    let before_ms = store.now_ms();
    let claim = Claim { key: &key, token: token(), lease: LONG, seen_ms: 0, mode: Mode::TakeOver };
    let Claimed::Granted { now_ms } = store.claim(claim).await? else { bail!("not granted") };
    let after_ms = store.now_ms();
    // Half a round trip and a millisecond of rounding, generously.
    ensure!(before_ms <= now_ms + 100 && now_ms <= after_ms + 100);
    ensure!(before_ms <= after_ms);
    subject.pass(after_ms).await
}
