use super::common::{admin, fleet, renaming_file, run};

#[tokio::test]
async fn a_policy_that_renames_keys_is_learned_first_and_then_allowed() {
    let fleet = fleet("").await;
    let (_folder, renaming) = renaming_file();
    let (renaming, url) = (renaming.display().to_string(), admin(&fleet));
    let read = async || {
        let answer = fleet.hosts[0].get("/read/user.profile?id=7").await.unwrap();
        answer.header("cache-status").to_owned()
    };
    assert!(read().await.contains("\"v1:user.profile:7\""));

    let push = ["policy", "push", &renaming, "--url", &url];
    let (code, words) = run(&push).await.unwrap_err();
    assert!(code == 1 && words.contains("--allow-rename"), "{words}");

    let learn = [&push[..], &["--learn"]].concat();
    let said = run(&learn).await.unwrap();
    assert!(said.starts_with("learned: renamed@"), "{said}");
    assert!(read().await.contains("\"v1:user.profile:7\""), "it is not in force");

    // A value under the name that was only learned is removed by the write.
    let mut redis = fleet.redis.connect().await.unwrap();
    let learned = corral_tests::shop::name("user.profile", "renamed:v1:user.profile:7").unwrap();
    let () = redis::cmd("SET")
        .arg(&[learned.as_str(), "x", "EX", "60"])
        .query_async(&mut redis)
        .await
        .unwrap();
    let renamed = serde_json::json!({ "id": "7", "name": "Ada", "email": "ada@example.com" });
    let wrote = fleet.hosts[0].post("/write/user.profile/rename", &renamed).await.unwrap();
    assert_eq!(wrote.json().unwrap()["cache"], "invalidated", "{wrote:?}");
    assert_eq!(fleet.redis.values("renamed:*").await.unwrap(), Vec::<String>::new());

    let allow = [&push[..], &["--allow-rename"]].concat();
    let said = run(&allow).await.unwrap();
    assert!(said.starts_with("active: renamed@"), "{said}");
    assert!(read().await.contains("\"renamed:v1:user.profile:7\""));
    let both = [&allow[..], &["--learn"]].concat();
    assert_eq!(run(&both).await.unwrap_err().0, 2);
}
