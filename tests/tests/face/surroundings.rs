//! What a host finds around it: variables that others have set, secrets in files, a terminal, ports
//! in use.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Output, Stdio};

use corral_tests::servers::{Host, corral, eventually};
use hyper::StatusCode;
use tokio::process::Command;

use super::access::File;
use super::common::{SOON, Servers, get};

const ENTITY: &str = "[entity.one]\nread = \"SELECT 1 AS one\"\nttl = \"1m\"\n";

/// A configuration with one entity and without a store.
async fn tiny() -> String {
    format!("[origin]\nurl = \"{}\"\n{ENTITY}", Servers::shared().await.postgres.url())
}

/// The variables that Kubernetes sets in every pod beside services named `corral` and
/// `corral-admin`.
const INJECTED: [(&str, &str); 12] = [
    ("CORRAL_PORT", "tcp://10.0.0.7:7070"),
    ("CORRAL_SERVICE_HOST", "10.0.0.7"),
    ("CORRAL_SERVICE_PORT", "7070"),
    ("CORRAL_SERVICE_PORT_HTTP", "7070"),
    ("CORRAL_PORT_7070_TCP", "tcp://10.0.0.7:7070"),
    ("CORRAL_PORT_7070_TCP_PROTO", "tcp"),
    ("CORRAL_PORT_7070_TCP_PORT", "7070"),
    ("CORRAL_PORT_7070_TCP_ADDR", "10.0.0.7"),
    ("CORRAL_ADMIN_SERVICE_HOST", "fd00::7"),
    ("CORRAL_ADMIN_PORT", "udp://[fd00::7]:7071"),
    ("CORRAL_ADMIN_PORT_7071_UDP", "udp://[fd00::7]:7071"),
    // A variable of `corral bench`.
    ("CORRAL_BENCH_TOKEN", "not for hosts"),
];

#[tokio::test]
async fn what_an_orchestrator_says_of_services_is_no_configuration() {
    let injected = INJECTED.map(|(name, value)| (name, value.to_owned())).to_vec();
    let host = Host::start_in(injected, &tiny().await).await.unwrap();
    assert_eq!(get(&host, "/read/one").await.status, StatusCode::OK);
    // `check` ignores them too, and finds at the ports of this file the host that serves there.
    let served = File::new(&std::fs::read_to_string(host.config_path()).unwrap());
    check(&served, &INJECTED, 0).await;
    // The control: a variable that looks like a value of the configuration and is none is refused.
    let file = File::new(&tiny().await);
    let said = check(&file, &[("CORRAL_PORT", "7070"), ("CORRAL_SERVICE", "x")], 2).await;
    assert!(said.contains("CORRAL_PORT") && said.contains("CORRAL_SERVICE"), "{said}");
}

#[tokio::test]
async fn options_for_postgres_from_elsewhere_are_refused_where_a_pooler_would_refuse_them() {
    let file = File::new(&tiny().await);
    let said = check(&file, &[("PGOPTIONS", "-c work_mem=hunter2")], 1).await;
    assert!(said.contains("origin.url") && said.contains("PGOPTIONS is set"), "{said}");
    assert!(said.contains("options=…") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn secrets_may_lie_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, secret: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, secret).unwrap();
        path.display().to_string()
    };
    let files = vec![
        (
            "CORRAL_ORIGIN_URL_FILE",
            at("origin", &format!("{}\n", Servers::shared().await.postgres.url())),
        ),
        ("CORRAL_ACCESS_READ_FILE", at("read", "the-read-token\r\n")),
        ("CORRAL_ACCESS_WRITE_FILE", at("write", "the-write-token")),
        ("CORRAL_ADMIN_TOKEN_FILE", at("admin", "the-admin-token\n")),
    ];
    let host = Host::start_in(files, ENTITY).await.unwrap();
    assert_eq!(get(&host, "/read/one").await.status, StatusCode::UNAUTHORIZED);
    let with = |token: &str| format!("Bearer {token}");
    let ask = async |path: &str, token: &str| {
        super::common::ask(&host, path, &[("authorization", &with(token))], "").await.status
    };
    assert_eq!(ask("GET /read/one", "the-read-token").await, StatusCode::OK);
    assert_eq!(ask("POST /invalidate", "the-read-token").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("GET /metrics", "the-admin-token").await, StatusCode::OK);

    // A mistake in such a file is reported by the variable's name, without any of the file's
    // content.
    let file = File::new(&tiny().await);
    let both = [
        ("CORRAL_STORE_URL_FILE", at("store", "http://:hunter2@store")),
        ("CORRAL_ACCESS_READ_FILE", folder.path().join("absent").display().to_string()),
        ("CORRAL_ADMIN_TOKEN_FILE", at("admin", "a")),
        ("CORRAL_ADMIN_TOKEN", "b".to_owned()),
    ];
    let both: Vec<_> = both.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let said = check(&file, &both, 2).await;
    for part in [
        "CORRAL_STORE_URL_FILE (store.url): not an address that works here",
        "CORRAL_ACCESS_READ_FILE: ",
        "can't be read",
        "CORRAL_ADMIN_TOKEN_FILE: CORRAL_ADMIN_TOKEN is set too",
        "3 problems",
    ] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_terminal_gets_colours_unless_it_wants_none() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("listen = \"{}\"\n{}", taken.local_addr().unwrap(), tiny().await);
    let file = File::new(&listen);
    let said = async |no_color: &str| {
        // `script` gives it a terminal. It logs its policy, and then ends because its port is in
        // use.
        let program = corral().unwrap();
        let serve =
            format!("{} serve --config {}", program.get_program().display(), file.path.display());
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &serve, "/dev/null"]).env("NO_COLOR", no_color);
        let output = ended(script).await;
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (coloured, plain) = (said("").await, said("1").await);
    assert!(coloured.contains("\u{1b}["), "the control: {coloured}");
    assert!(plain.contains("INFO") && !plain.contains('\u{1b}'), "{plain}");
}

#[tokio::test]
async fn check_sees_that_a_port_is_taken() {
    let [taken, free] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let (port, other) = (taken.local_addr().unwrap(), free.local_addr().unwrap());
    drop(free);
    let tiny = tiny().await;
    let both =
        |listen, admin| format!("listen = \"{listen}\"\n[admin]\nlisten = \"{admin}\"\n{tiny}");
    let said = check(&File::new(&both(port, other)), &[], 1).await;
    assert!(said.contains("1:10 listen: ") && said.contains("in use"), "{said}");
    let said = check(&File::new(&both(other, port)), &[], 1).await;
    assert!(said.contains("3:10 admin.listen: ") && said.contains("in use"), "{said}");
    let said = check(&File::new(&both(other, other)), &[], 1).await;
    assert!(said.contains("3:10 admin.listen: ") && said.contains("in use"), "{said}");
    drop(taken);
    check(&File::new(&both(port, other)), &[], 0).await;
}

#[tokio::test]
async fn a_host_that_serves_does_not_keep_check_from_passing_its_configuration() {
    let host = Host::start(&tiny().await).await.unwrap();
    let text = std::fs::read_to_string(host.config_path()).unwrap();
    let said = check(&File::new(&text), &[], 0).await;
    assert!(said.contains("a host serves there"), "{said}");
}

#[tokio::test]
async fn a_host_without_a_watch_of_the_system_starts_and_follows_its_files() {
    let namespace = r#"echo 0 > /proc/sys/user/max_inotify_instances && exec "$0" "$@""#;
    let corral = corral().unwrap().get_program().to_owned();
    let program = ["unshare", "--user", "--map-root-user", "sh", "-c", namespace];
    let program = program.iter().map(Into::into).chain([corral]).collect();
    let host = Host::start_as(program, &tiny().await).await.unwrap();
    assert!(host.log().contains("gives no watch"), "the control: {}", host.log());
    let other = "[entity.two]\nread = \"SELECT 2 AS two\"\nttl = \"1m\"\n";
    host.configure(&format!("{}{other}", tiny().await)).unwrap();
    eventually("the file is followed", SOON, || async {
        Ok((host.get("/read/two").await?.status == StatusCode::OK).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_policy_that_is_no_file_is_refused_and_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let pipe = home.path().join("policy.wasm");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for path in [pipe.display().to_string(), "/dev/zero".to_owned(), "/".to_owned()] {
        let file = File::new(&format!("{}[policy]\ncomponent = \"{path}\"\n", tiny().await));
        for command in ["serve", "check"] {
            let output = file.run(command).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{command} of {path}: {said}");
            assert!(said.contains(&path) && said.contains("no regular file"), "{command}: {said}");
        }
    }
}

#[tokio::test]
async fn uploads_are_compiled_one_after_the_other_whatever_they_are_for() {
    let host = Host::start(&tiny().await).await.unwrap();
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/default-policy.wasm");
    let built_in = std::fs::read(built_in).unwrap();
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", host.pid().unwrap())).unwrap();
        tasks.count()
    };
    let upload = |number: u8, path: &'static str| {
        // Each has a custom section of its own, so that none was compiled before.
        let component = [&built_in[..], &[0, 3, 1, b'n', number]].concat();
        let host = &host;
        async move { super::common::ask(host, path, &[], component).await.status }
    };
    let explain = "POST /admin/explain/one";
    assert_eq!(upload(0, explain).await, StatusCode::OK);
    let before = threads();
    let many = (1..=12).map(|n| {
        upload(n, if n % 2 == 0 { explain } else { "PUT /admin/policy/shadow?sample=0.1" })
    });
    let answers = futures_util::future::join_all(many).await;
    assert!(answers.iter().all(|status| *status == StatusCode::OK), "{answers:?}");
    // Each of several compilations at once has a thread of its own, which is kept for a while.
    let after = threads();
    assert!(after < before + 6, "{before} threads, and {after} after twelve uploads at once");
}

#[tokio::test]
async fn the_demo_tells_and_logs_nothing_between_its_sentences() {
    let demo = |log: Option<&str>| {
        let mut demo = corral().unwrap();
        demo.args(["demo", "--once"]).envs(log.map(|log| ("RUST_LOG", log)));
        ended(demo)
    };
    let told = demo(None).await;
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!((told.status.code(), said.as_str()), (Some(0), ""));
    assert!(!told.stdout.is_empty());
    let logged = demo(Some("info")).await;
    assert!(!logged.stderr.is_empty(), "the control: what it does can be logged");
}

/// What `check` prints about a file, on both streams.
async fn check(file: &File, environment: &[(&str, &str)], code: i32) -> String {
    let mut command = corral().unwrap();
    command.args(["check", "--config"]).arg(&file.path).envs(environment.iter().copied());
    let output = ended(command).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

async fn ended(command: std::process::Command) -> Output {
    let mut command = Command::from(command);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    tokio::time::timeout(SOON, output).await.unwrap().unwrap()
}
