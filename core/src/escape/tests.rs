use super::*;

#[test]
fn null_differs_from_every_text_that_looks_like_it() {
    let segments = [None, Some(""), Some("~"), Some("%7E"), Some("null")].map(segment);
    assert_eq!(segments, ["~", "", "%7E", "%257E", "null"]);
}

#[test]
fn what_names_are_put_together_with_never_appears_raw() {
    assert_eq!(segment(Some("42:admin")), "42%3Aadmin");
    assert_eq!(segment(Some("{a b}\n\u{7f}é")), "%7Ba%20b%7D%0A%7F%C3%A9");
}

#[test]
fn the_usual_argument_reads_as_itself() {
    assert_eq!(segment(Some("a.b_C-1+x@example.org")), "a.b_C-1+x@example.org");
}

fn segment(value: Option<&str>) -> String {
    let mut out = String::new();
    push_segment(&mut out, value);
    out
}
