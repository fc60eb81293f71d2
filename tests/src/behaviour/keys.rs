//! How the default policy names reads.

use anyhow::{Result, ensure};
use corral_host::policy::Decider;

use super::{entity, plan, profile};

pub(super) fn a_usual_read_has_a_key_that_a_person_can_read(policy: &dyn Decider) -> Result<()> {
    let key = plan(policy, &profile(Some("42")))?.key;
    ensure!(key == "v1:user.profile:42", "{key}");
    let key = plan(policy, &entity("catalogue", &[]))?.key;
    ensure!(key == "v1:catalogue", "{key}");
    Ok(())
}

pub(super) fn ten_kilobytes_of_text_are_hashed(policy: &dyn Decider) -> Result<()> {
    let (long, other) = ("x".repeat(10_000), "x".repeat(9_999) + "y");
    let key = plan(policy, &profile(Some(&long)))?.key;
    let other = plan(policy, &profile(Some(&other)))?.key;
    ensure!(key.len() <= 512 && !key.contains("xxxx"), "{key}");
    ensure!(key != other, "{key} is the key of both");
    Ok(())
}
