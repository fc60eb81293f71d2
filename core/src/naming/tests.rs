use super::*;
use crate::testing::template;

#[test]
fn a_plain_value_gives_the_obvious_text() {
    assert_eq!(rendered("user:{id}", Some("42")), "user:42");
    assert_eq!(rendered("{id}/all", Some("a")), "a/all");
    assert_eq!(rendered("fixed", None), "fixed");
}

#[test]
fn a_value_can_not_break_out_of_its_place() {
    assert_eq!(rendered("user:{id}:x", Some("4:{2}\n")), "user:4%3A%7B2%7D%0A:x");
    assert_eq!(rendered("user:{id}", None), "user:~");
    assert_eq!(rendered("user:{id}", Some("~")), "user:%7E");
}

#[test]
fn a_tag_of_which_something_is_unknown_is_not_rendered() {
    assert_eq!(render(&template("team:{row.team_id}"), &|_| None), None);
}

fn rendered(text: &str, id: Option<&str>) -> String {
    render(&template(text), &|_| Some(id)).unwrap().into()
}
