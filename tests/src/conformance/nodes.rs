//! Checks of what a store tells about its node.

use super::*;
use corral_host::store::{Intent, IntentTarget, Over};

pub(super) async fn a_beat_and_a_new_connection_say_the_same_of_the_node(
    subject: Subject<'_>,
) -> Result<()> {
    let store = subject.store;
    let first = store.beat().await?;
    ensure!(first.answer.epoch.is_some() && first.answer.is_primary, "{first:?}");
    ensure!(store.confirm().await? == first.answer.epoch, "a new connection leads elsewhere");
    let second = store.beat().await?;
    ensure!(second.link == first.link && second.answer.epoch == first.answer.epoch);
    ensure!(second.answer.now_ms >= first.answer.now_ms, "the node's clock went back");
    ensure!(second.answer.now_ms.abs_diff(store.now_ms()) < 1_000, "not the node's clock");
    Ok(())
}

pub(super) async fn every_answer_says_over_which_link_it_came(subject: Subject<'_>) -> Result<()> {
    let (store, name, tag) = (subject.store, subject.name("k")?, subject.tag("t")?);
    let Over { link, .. } = store.beat().await?;
    let claim = Claim { name: &name, token: token(), lease: LONG, seen_ms: 0, mode: Mode::IfFree };
    let intent = Intent::new(rand::random(), vec![IntentTarget::Tag(tag.clone())], None);
    let marking = Marking { lasts: SHORT, epoch: EPOCH };
    let links = [
        ("claim", store.claim(claim).await?.link),
        ("get", store.get(&name).await?.link),
        ("get_tracked", store.get_tracked(&name).await?.link),
        ("index", store.index(&name, std::slice::from_ref(&tag), subject.after(LONG)).await?.link),
        ("invalidate", store.invalidate(&[Doomed::Name(name.clone())], marking).await?.link),
        ("invalidate nothing", store.invalidate(&[], marking).await?.link),
        ("announce", store.announce(&intent, LONG).await?.link),
        ("publish", store.publish(&[]).await?.link),
        ("range", store.range().await?.link),
        ("raise", store.raise(&[]).await?.link),
    ];
    store.withdraw(&intent).await?;
    for (operation, answered) in links {
        ensure!(answered == link, "{operation} over {answered:?}, the beat over {link:?}");
    }
    Ok(())
}
