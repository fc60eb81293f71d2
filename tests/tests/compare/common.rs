//! A host over servers of its own, a policy that differs in one known thing, and the command.

use std::path::PathBuf;
use std::time::Duration;

use corral_tests::client::{Answer, Client, media};
use corral_tests::fleet::Fleet;
use corral_tests::policies::component;
use corral_tests::servers::corral;
use corral_tests::shop::Shop;
use hyper::Method;
use serde_json::Value;
use tempfile::TempDir;

/// Long enough for a busy machine; only reached when a test fails.
pub(super) const SOON: Duration = Duration::from_secs(60);

/// One host over a small shop.
pub(super) async fn fleet(config: &str) -> Fleet {
    Fleet::start(1, &Shop::small(), config).await.unwrap()
}

/// The built-in policy with another name for every key.
pub(super) fn renaming() -> Vec<u8> {
    component("good/renamed").unwrap()
}

/// That component as a file.
pub(super) fn renaming_file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("renaming.wasm");
    std::fs::write(&path, renaming()).unwrap();
    (folder, path)
}

/// Asks the admin face.
pub(super) async fn ask(fleet: &Fleet, method: Method, path: &str, body: Vec<u8>) -> Answer {
    let headers = [("content-type", media(path))];
    Client::new().request(method, &fleet.hosts[0].url(path), &headers, body).await.unwrap()
}

/// The address of its admin face.
pub(super) fn admin(fleet: &Fleet) -> String {
    fleet.admin_urls().remove(0)
}

/// Runs the command; what it printed, or the code and the text with which it failed.
pub(super) async fn run(args: &[&str]) -> Result<String, (i32, String)> {
    let output =
        tokio::process::Command::from(corral().unwrap()).args(args).output().await.unwrap();
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap());
    }
    let code = output.status.code().unwrap();
    Err((code, String::from_utf8(output.stderr).unwrap()))
}

/// What differs, by entity and aspect.
pub(super) fn differing(report: &Value) -> Vec<(String, String, u64)> {
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    let differing = findings.filter(|finding| finding["differing"] != 0);
    let told = |finding: &Value| {
        let differing = finding["differing"].as_u64().unwrap();
        (text(finding, "entity"), text(finding, "aspect"), differing)
    };
    differing.map(told).collect()
}
