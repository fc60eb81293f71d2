//! Forms of tags: which templates can give one tag.

use crate::config::template::{returned, sources};
use crate::policy::{Piece, Source};

/// Stands for a value. No tag has it.
const HOLE: char = '\0';

/// Whether two templates can give the same tag. The text of a value has no `:` and no `/`, so the
/// parts between these can be compared one by one.
pub(super) fn meet(one: &[Piece], other: &[Piece]) -> bool {
    const BETWEEN: [char; 2] = [':', '/'];
    let (one, other) = (outline(one), outline(other));
    let separators = |form| str::matches(form, BETWEEN);
    let mut parts = one.split(BETWEEN).zip(other.split(BETWEEN));
    separators(&one).eq(separators(&other)) && parts.all(|(one, other)| parts_meet(one, other))
}

/// Whether two templates have the same text around their holes.
pub(super) fn are_alike(one: &[Piece], other: &[Piece]) -> bool {
    outline(one) == outline(other)
}

/// Whether a tag depends on the row that carries it.
pub(super) fn is_of_row(tag: &[Piece]) -> bool {
    sources(tag).any(|source| returned(source).is_some())
}

/// The columns of the row that a tag is made of.
pub(super) fn columns(tag: &[Piece]) -> Vec<&str> {
    sources(tag)
        .filter_map(|source| match source {
            Source::Column(name) => Some(name.as_str()),
            Source::Argument(_) | Source::OldColumn(_) => None,
        })
        .collect()
}

fn outline(tag: &[Piece]) -> String {
    let mut outline = String::new();
    for piece in tag {
        match piece {
            Piece::Text(text) => outline.push_str(text),
            Piece::Value(_) => outline.push(HOLE),
        }
    }
    outline
}

/// Whether some text fits both parts. Two parts with holes have such a text if, of what stands
/// before their first holes, one begins with the other, and of what stands after their last holes,
/// one ends with the other.
fn parts_meet(one: &str, other: &str) -> bool {
    let Some((ends, others)) = ends(one).zip(ends(other)) else {
        return match (ends(one), ends(other)) {
            (None, None) => one == other,
            (Some((before, after)), _) => fits(other, before, after),
            (None, Some((before, after))) => fits(one, before, after),
        };
    };
    let begin = ends.0.starts_with(others.0) || others.0.starts_with(ends.0);
    begin && (ends.1.ends_with(others.1) || others.1.ends_with(ends.1))
}

/// What stands before the first hole and after the last.
fn ends(part: &str) -> Option<(&str, &str)> {
    Some((part.split_once(HOLE)?.0, part.rsplit_once(HOLE)?.1))
}

fn fits(text: &str, before: &str, after: &str) -> bool {
    text.strip_prefix(before).is_some_and(|rest| rest.ends_with(after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TagTemplate;

    #[test]
    fn templates_meet_if_some_values_make_one_tag_of_them() {
        for (one, other, expected) in [
            ("user:{id}", "user:{row.user_id}", true),
            ("user:{id}", "user:42", true),
            ("user:{id}", "{what}:42", true),
            ("user:{id}", "user:{id}:{page}", false),
            ("user:{id}", "usr:{id}", false),
            ("user:{id}", "user:", true),
            ("user:{id}", "user", false),
            ("user/{id}", "user:{id}", false),
            ("u{a}x:{b}", "u{c}{d}yx:1", true),
            ("u{a}x", "u{a}y", false),
            ("aba", "ab{x}ba", false),
            ("all", "all", true),
            ("all", "al", false),
        ] {
            let [one, other] = [one, other].map(|text| TagTemplate::parse(text).unwrap());
            assert_eq!(meet(one.pieces(), other.pieces()), expected, "{one} and {other}");
            assert_eq!(meet(other.pieces(), one.pieces()), expected, "{other} and {one}");
        }
    }
}
