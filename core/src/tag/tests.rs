use super::*;

#[test]
fn a_long_tag_is_never_cut_within_a_character() {
    let tag = Tag::with(&"é".repeat(200), Some("1"));
    assert!(tag.as_str().len() <= PLAIN_BYTES_MAX + 1);
    let odd = Tag::rendered(String::from("x") + &"é".repeat(100));
    let (beginning, _) = odd.as_str().split_once('~').unwrap();
    assert_eq!(beginning.len(), KEPT_BYTES - 1);
}

#[test]
fn a_long_tag_is_shortened_and_still_differs_from_its_neighbour() {
    let plain = Tag::rendered("x".repeat(PLAIN_BYTES_MAX));
    let long = Tag::rendered("x".repeat(PLAIN_BYTES_MAX + 1));
    let longer = Tag::rendered("x".repeat(10_000));
    assert_eq!(plain.as_str(), "x".repeat(PLAIN_BYTES_MAX));
    assert_eq!(long.as_str().len(), PLAIN_BYTES_MAX + 1);
    assert_eq!(longer.as_str().len(), PLAIN_BYTES_MAX + 1);
    assert_ne!(long, longer);
}
