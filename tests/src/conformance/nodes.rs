//! Checks of what a store tells about its node.

use super::*;
use corral_host::store::{Confirmation, Intent, IntentTarget, Over};

pub(super) async fn a_beat_and_a_new_connection_say_the_same_of_the_node(
    subject: Subject<'_>,
) -> Result<()> {
    let store = subject.store;
    let first = store.beat(&[RANGE]).await?;
    ensure!(first.answer.epoch.is_some() && first.answer.is_primary, "{first:?}");
    ensure!(
        store.confirm().await? == Confirmation::Reached(first.answer.epoch),
        "a new connection leads elsewhere"
    );
    let second = store.beat(&[RANGE]).await?;
    ensure!(second.link == first.link && second.answer.epoch == first.answer.epoch);
    ensure!(second.answer.now_ms >= first.answer.now_ms, "the node's clock went back");
    ensure!(second.answer.now_ms.abs_diff(store.now_ms()) < 1_000, "not the node's clock");
    Ok(())
}

pub(super) async fn every_answer_says_over_which_link_it_came(subject: Subject<'_>) -> Result<()> {
    let (store, name, tag) = (subject.store, subject.name("k")?, subject.tag("t")?);
    let Over { link, .. } = store.beat(&[RANGE]).await?;
    let claim = Claim { name: &name, token: token(), lease: LONG, seen_ms: 0, mode: Mode::IfFree };
    let intent = Intent::new(rand::random(), vec![IntentTarget::Tag(tag.clone())], None);
    let marking = Marking { lasts: SHORT, epoch: EPOCH };
    let links = [
        ("claim", store.claim(claim).await?.link),
        ("get", store.get(&name).await?.link),
        ("get_tracked", store.get_tracked(&name).await?.link),
        ("index", store.index(&name, std::slice::from_ref(&tag), subject.after(LONG)).await?.link),
        ("remove", store.remove(std::slice::from_ref(&name)).await?.link),
        ("remove nothing", store.remove(&[]).await?.link),
        ("walk", invalidate(store, &[Doomed::Tag(tag)], marking).await?.link),
        ("walk nothing", invalidate(store, &[], marking).await?.link),
        ("announce", store.announce(RANGE, &intent, LONG).await?.link),
        ("publish", store.publish(&[RANGE], &[]).await?.link),
        ("read ranges", store.read_ranges(&[RANGE]).await?.link),
        ("raise", store.raise(&[RANGE], &[]).await?.link),
    ];
    store.withdraw(RANGE, &intent).await?;
    for (operation, answered) in links {
        ensure!(answered == link, "{operation} over {answered:?}, the beat over {link:?}");
    }
    Ok(())
}
