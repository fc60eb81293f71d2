//! Checks of the range: floors, namings in use, epochs that were watched; and of the list of hosts
//! and the board beside it. Race J.

use std::cell::Cell;

use super::*;
use corral_host::store::{FloorScope, HostCard, Naming, PolicyId, Range};

impl Subject<'_> {
    /// A naming that no other check uses.
    fn naming(&self, entity: &str, lasts: Duration) -> Naming {
        Naming {
            digest: Digest::of([self.prefix, entity]),
            policy: PolicyId::of(self.prefix, "{}"),
            entity: entity.to_owned(),
            params: vec!["id:int8".to_owned()],
            lasts_ms: lasts.as_millis() as u64,
            deadline_ms: 2_000,
        }
    }

    /// A memory store belongs to one host.
    fn is_shared(&self) -> bool {
        self.store.kind() != "memory"
    }

    async fn publish(&self, namings: &[Naming]) -> Result<Range> {
        let range = self.publish_unread(namings).await?;
        let read = self.read().await?;
        ensure!(read.floors == range.floors, "{read:?} is read, {range:?} was answered");
        let beat = self.store.beat(&[RANGE]).await?.answer;
        ensure!(beat.range_versions == [range.version], "{beat:?} after {range:?}");
        Ok(range)
    }

    async fn publish_unread(&self, namings: &[Naming]) -> Result<Range> {
        let ranges = self.store.publish(&[RANGE], namings).await?.answer;
        ranges.into_iter().next().context("a range is answered")
    }

    async fn read(&self) -> Result<Range> {
        let ranges = self.store.read_ranges(&[RANGE]).await?.answer;
        ranges.into_iter().next().context("a range is answered")
    }

    /// Publishes nothing until the range has dropped this naming, and returns the range then. A
    /// naming with a later end could be dropped while another check looks, since the server decides
    /// when that end has come.
    async fn lose(&self, naming: &Naming) -> Result<Range> {
        let lost = Cell::new(None);
        eventually("the drop of a naming", async || {
            let range = self.publish(&[]).await?;
            let is_lost = !range.floors.contains_key(&naming.scope());
            lost.set(is_lost.then_some(range));
            Ok(is_lost)
        })
        .await?;
        lost.take().context("dropped")
    }
}

pub(super) async fn what_is_published_is_read_with_its_floor(subject: Subject<'_>) -> Result<()> {
    let naming = subject.naming("user", LONG);
    let other = subject.naming("order", LONG);
    let range = subject.publish(std::slice::from_ref(&naming)).await?;
    ensure!(range.new == [naming.scope()], "{:?} was unused until now", range.new);
    ensure!(range.version != 0);
    ensure!(range.namings.contains(&naming) && !range.namings.contains(&other));
    ensure!(range.floors.contains_key(&naming.scope()));
    ensure!(range.floors.contains_key(&FloorScope::Everything));
    ensure!(range.longest_deadline() >= Duration::from_secs(2));
    let both = subject.publish(&[naming.clone(), other.clone()]).await?;
    ensure!(both.new == [other.scope()], "{:?} was unused until now", both.new);
    ensure!(both.version != range.version, "others would not learn of the new one");
    ensure!(both.floors[&naming.scope()] == range.floors[&naming.scope()]);
    let read = subject.read().await?;
    ensure!([naming, other].iter().all(|naming| read.namings.contains(naming)), "{read:?}");
    Ok(())
}

pub(super) async fn what_is_published_again_changes_nothing(subject: Subject<'_>) -> Result<()> {
    let naming = [subject.naming("user", LONG)];
    let first = subject.publish(&naming).await?;
    let second = subject.publish(&naming).await?;
    ensure!(second.new.is_empty(), "{:?} is not new", second.new);
    ensure!(second.version == first.version && second.floors == first.floors);
    Ok(())
}

pub(super) async fn a_floor_that_is_raised_changes_and_no_other_does(
    subject: Subject<'_>,
) -> Result<()> {
    let (naming, other) = (subject.naming("user", LONG), subject.naming("order", LONG));
    let mut before = subject.publish(&[naming.clone(), other]).await?;
    for scope in [naming.scope(), FloorScope::Everything, naming.scope()] {
        subject.store.raise(&[RANGE], std::slice::from_ref(&scope)).await?;
        let after = subject.publish(&[]).await?;
        ensure!(after.version != before.version, "others would not learn of it");
        for (known, floor) in &after.floors {
            let stands = before.floors.get(known) == Some(floor);
            ensure!(stands == (*known != scope), "{known:?} after {scope:?} was raised");
        }
        ensure!(after.floors.len() == before.floors.len());
        before = after;
    }
    Ok(())
}

pub(super) async fn a_naming_that_is_not_in_use_loses_its_floor(
    subject: Subject<'_>,
) -> Result<()> {
    let short = subject.naming("short", SHORT);
    let before = subject.publish(std::slice::from_ref(&short)).await?;
    eventually("the naming's end", async || Ok(!subject.read().await?.namings.contains(&short)))
        .await?;
    let after = subject.lose(&short).await?;
    ensure!(after.version != before.version, "others would not learn of it");
    let again = subject.publish(std::slice::from_ref(&short)).await?;
    ensure!(again.new == [short.scope()], "{:?}", again.new);
    ensure!(again.version != after.version);
    ensure!(again.floors[&short.scope()] != before.floors[&short.scope()], "an old floor is back");
    subject.lose(&short).await.map(drop)
}

pub(super) async fn a_naming_is_in_use_for_as_long_as_it_is_published(
    subject: Subject<'_>,
) -> Result<()> {
    const USED: Duration = Duration::from_secs(1);
    let naming = [subject.naming("user", USED)];
    let first = subject.publish(&naming).await?;
    let end_ms = first.now_ms + USED.as_millis() as u64;
    eventually("the time that one use lasts", async || {
        let again = subject.publish_unread(&naming).await?;
        ensure!(again.new.is_empty() && again.floors == first.floors, "its floor was lost");
        Ok(again.now_ms > end_ms)
    })
    .await?;
    subject.lose(&naming[0]).await.map(drop)
}

pub(super) async fn an_epoch_that_was_watched_is_noted(subject: Subject<'_>) -> Result<()> {
    let epoch = Epoch(rand::random());
    ensure!(!subject.publish(&[]).await?.watched.contains(&epoch));
    subject.store.note_watched(&[RANGE], epoch).await?;
    ensure!(subject.read().await?.watched.contains(&epoch));
    ensure!(subject.publish(&[]).await?.watched.contains(&epoch));
    Ok(())
}

pub(super) async fn of_two_that_read_one_note_one_writes_the_next(
    subject: Subject<'_>,
) -> Result<()> {
    let (of, store) = (format!("note:{}", subject.prefix), subject.store);
    let replace =
        async |read: Option<&[u8]>, note: &[u8]| store.replace_note(&of, read, note, LONG).await;
    ensure!(!replace(Some(b"one"), b"two").await?, "there is no note yet");
    ensure!(replace(None, b"one").await? && !replace(None, b"another").await?);
    let (first, second) =
        tokio::join!(replace(Some(b"one"), b"two"), replace(Some(b"one"), b"three"));
    let (first, second) = (first?, second?);
    ensure!(first != second, "both have written it, or neither");
    let expected: &[u8] = if first { b"two" } else { b"three" };
    ensure!(store.note(&of).await?.as_deref() == Some(expected));
    Ok(())
}

pub(super) async fn a_host_that_is_listed_sees_itself(subject: Subject<'_>) -> Result<()> {
    let card = HostCard {
        id: subject.prefix.to_owned(),
        format: 1,
        version: "1.2.3".to_owned(),
        policy: "corral-core@1.0.0;generation=1".to_owned(),
        ..HostCard::default()
    };
    ensure!(subject.store.enlist(&card).await?.alive.contains(&card));
    let later = HostCard { policy: "another".to_owned(), ..card.clone() };
    let listing = subject.store.enlist(&later).await?;
    let hosts = &listing.alive;
    ensure!(hosts.contains(&later) && !hosts.contains(&card), "one entry a host: {hosts:?}");
    ensure!(listing.was_listed, "it was listed a moment ago");
    Ok(subject.store.delist(&card.id).await?)
}

pub(super) async fn a_host_is_not_alone_while_another_is_listed_or_left_without_a_word(
    subject: Subject<'_>,
) -> Result<()> {
    if !subject.is_shared() {
        return Ok(());
    }
    let card = |number: u32| HostCard {
        id: format!("{}:{number}", subject.prefix),
        format: 1,
        version: "1.2.3".to_owned(),
        policy: "corral-core@1.0.0;generation=1".to_owned(),
        ..HostCard::default()
    };
    let (one, other) = (card(1), card(2));
    ensure!(!subject.store.enlist(&one).await?.was_listed, "it is new");
    ensure!(!subject.store.enlist(&other).await?.is_alone);
    let listing = subject.store.enlist(&one).await?;
    ensure!(!listing.is_alone && listing.was_listed && listing.alive.contains(&other));
    subject.store.delist(&one.id).await?;
    ensure!(!subject.store.enlist(&other).await?.alive.contains(&one), "it has left");
    Ok(subject.store.delist(&other.id).await?)
}

pub(super) async fn a_naming_is_known_until_the_range_loses_one(
    subject: Subject<'_>,
) -> Result<()> {
    if !subject.is_shared() {
        return Ok(());
    }
    let naming = subject.naming("user", LONG);
    let scope = naming.scope();
    let before = subject.publish(std::slice::from_ref(&naming)).await?;
    ensure!(!before.known.contains(&scope), "it is noted already");
    let floor = before.floors[&scope];
    subject.store.note_known(RANGE, &[(scope.clone(), floor)]).await?;
    let noted = subject.publish(std::slice::from_ref(&naming)).await?;
    ensure!(noted.known.contains(&scope) && noted.version != before.version);
    let raised = Cell::new(floor);
    eventually("a floor whose hexadecimal text begins with a zero", async || {
        let before = raised.get();
        subject.store.note_known(RANGE, &[(scope.clone(), before)]).await?;
        subject.store.raise(&[RANGE], std::slice::from_ref(&scope)).await?;
        let range = subject.publish(&[]).await?;
        ensure!(
            range.known.contains(&scope),
            "{before:x} was known, the one raised after it is not"
        );
        ensure!(range.floors[&scope] != before);
        raised.set(range.floors[&scope]);
        Ok(before < 1 << 60)
    })
    .await?;
    let short = subject.naming("short", SHORT);
    subject.publish(std::slice::from_ref(&short)).await?;
    let after = subject.lose(&short).await?;
    ensure!(!after.known.contains(&scope), "a naming was dropped");
    subject.store.note_known(RANGE, &[(scope.clone(), floor)]).await?;
    ensure!(!subject.publish(&[]).await?.known.contains(&scope), "that was another floor");
    Ok(())
}

pub(super) async fn a_note_is_read_back_under_its_name_alone(subject: Subject<'_>) -> Result<()> {
    let (store, one) = (subject.store, format!("{}:one", subject.prefix));
    ensure!(store.note(&one).await?.is_none());
    for text in [&b"first"[..], b"second \0\xff"] {
        store.write_note(&one, text, LONG).await?;
        ensure!(store.note(&one).await?.as_deref() == Some(text));
    }
    ensure!(store.note(&format!("{}:other", subject.prefix)).await?.is_none());
    Ok(())
}
