//! What an invalidated tag costs.

use corral_tests::scenario::real::tags::run;

use super::common::beside_others;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_loaded_once_after_its_tag_was_invalidated_whatever_other_entities_may_take() {
    let _turn = beside_others().await;
    run().await.unwrap().expect().unwrap();
}
