//! A server that is far away: what many names and tags cost compared with one, in round trips. The
//! test counts them by time, over a way so slow that everything else is negligible.

use corral_tests::forwarder::{Forwarder, Traits};

use super::*;

/// One way; a round trip is twice as long. A connection has to be opened within half a second.
const DELAY: Duration = Duration::from_millis(50);

/// Long enough for any machine.
const PATIENT: Duration = Duration::from_secs(60);

/// How many times the cost of one name many names may cost, with a margin for other work of the
/// machine. In chunks, one after the other, they would cost fifteen to twenty times as much.
const RATIO: f64 = 12.0;

const MANY: usize = 5_000;

struct Distant {
    server: Server,
    store: RedisStore,
    _way: Forwarder,
}

impl Distant {
    async fn start() -> Self {
        let server = Server::start().await;
        let traits = Traits { delay: DELAY, ..Traits::default() };
        let way = Forwarder::start_with(&[server.0.port()], traits).await.unwrap();
        let store = RedisStore::connect(&way.redis_url(), Prefix::default(), PATIENT).unwrap();
        // The connections are open, and the server knows the scripts.
        let (name, tag) = (name("first"), tag("first"));
        store.index(&name, std::slice::from_ref(&tag), until_ms(&store)).await.unwrap();
        invalidate(&store, &[Doomed::Name(name), Doomed::Tag(tag)], MARKING).await.unwrap();
        Self { server, store, _way: way }
    }

    async fn takes(&self, doomed: &[Doomed]) -> Duration {
        let began = Instant::now();
        invalidate(&self.store, doomed, MARKING).await.unwrap();
        began.elapsed()
    }
}

const MARKING: Marking = Marking { lasts: Duration::from_secs(10), epoch: Epoch(7) };

fn tag(text: &str) -> StoreTag {
    StoreTag::try_new(text).unwrap()
}

fn until_ms(store: &RedisStore) -> u64 {
    store.now_ms() + 600_000
}

fn names(count: usize) -> Vec<Doomed> {
    (0..count).map(|nth| Doomed::Name(name(&format!("n{nth}")))).collect()
}

fn tags(count: usize) -> Vec<StoreTag> {
    (0..count).map(|nth| tag(&format!("t{nth}"))).collect()
}

fn ratio(many: Duration, one: Duration) -> f64 {
    many.as_secs_f64() / one.as_secs_f64()
}

#[tokio::test]
async fn thousands_of_names_are_removed_in_little_more_than_the_time_of_one() {
    let distant = Distant::start().await;
    let one = distant.takes(&names(1)).await;
    let many = distant.takes(&names(MANY)).await;
    assert!(ratio(many, one) < RATIO, "{many:?} beside {one:?}");
}

#[tokio::test]
async fn thousands_of_tags_with_a_member_each_are_removed_in_little_more_than_the_time_of_one() {
    let distant = Distant::start().await;
    let near = distant.server.store(PATIENT);
    for (nth, tag) in tags(MANY).iter().enumerate() {
        let name = name(&format!("n{nth}"));
        near.index(&name, std::slice::from_ref(tag), until_ms(&near)).await.unwrap();
    }
    let one = distant.takes(&[Doomed::Tag(tags(1).remove(0))]).await;
    let tags: Vec<Doomed> = tags(MANY).into_iter().map(Doomed::Tag).collect();
    let many = distant.takes(&tags).await;
    assert!(ratio(many, one) < RATIO, "{many:?} beside {one:?}");
}

#[tokio::test]
async fn a_tag_of_thousands_of_names_is_removed_in_little_more_than_the_time_of_one() {
    let distant = Distant::start().await;
    let near = distant.server.store(PATIENT);
    let (small, large) = (tag("small"), tag("large"));
    near.index(&name("n"), std::slice::from_ref(&small), until_ms(&near)).await.unwrap();
    for nth in 0..MANY {
        let name = name(&format!("n{nth}"));
        near.index(&name, std::slice::from_ref(&large), until_ms(&near)).await.unwrap();
    }
    let one = distant.takes(&[Doomed::Tag(small)]).await;
    let many = distant.takes(&[Doomed::Tag(large)]).await;
    assert!(ratio(many, one) < RATIO, "{many:?} beside {one:?}");
}

#[tokio::test]
async fn a_name_is_indexed_under_a_thousand_tags_in_little_more_than_the_time_of_one() {
    let distant = Distant::start().await;
    let index = async |tags: &[StoreTag]| {
        let began = Instant::now();
        distant.store.index(&name("n"), tags, until_ms(&distant.store)).await.unwrap();
        began.elapsed()
    };
    let one = index(&tags(1)).await;
    let many = index(&tags(1_000)).await;
    assert!(ratio(many, one) < RATIO, "{many:?} beside {one:?}");
}
