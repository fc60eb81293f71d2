use super::*;

#[test]
fn moving_text_between_fields_changes_the_digest() {
    let ab_c = hex(Canonical::of("t").text("ab").text("c"));
    let a_bc = hex(Canonical::of("t").text("a").text("bc"));
    assert_ne!(ab_c, a_bc);
    assert_ne!(hex(Canonical::of("t").value(None)), hex(Canonical::of("t").value(Some(""))));
    assert_ne!(hex(Canonical::of("t").text("u")), hex(Canonical::of("tu")));
}

#[test]
fn the_digest_is_sha_256_of_the_form() {
    // printf '\x01\0\0\0\0\0\0\0t' | sha256sum
    let expected = "0356cf916b28f80ef924c43c6d82dbb4fabb8f39026e841e5d77270d8c493162";
    assert_eq!(hex(Canonical::of("t")), expected);
    assert_eq!(expected.len(), HEX_BYTES);
}

fn hex(form: Canonical) -> String {
    let mut out = String::new();
    form.write_hex(&mut out);
    out
}
