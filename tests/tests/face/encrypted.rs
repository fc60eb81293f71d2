//! A Redis that is reached by TLS, with a user and a numbered database of its own, and a Postgres
//! that is reached by TLS. The system trusts the authority of both.

use std::path::Path;

use corral_tests::servers::{Host, Postgres, Redis, eventually, free_port};
use hyper::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::common::{SOON, Servers, get};

const READ: &str = "/read/user.profile?id=1";

/// The database's number, which is in the URL below.
const DATABASE: i64 = 3;

/// A Redis whose certificate is signed by the tests' authority, and a user with a password.
struct Encrypted {
    redis: Redis,
    port: u16,
    home: TempDir,
}

impl Encrypted {
    async fn start() -> Self {
        let (home, port) = (tempfile::tempdir().unwrap(), free_port().unwrap());
        certify(home.path());
        let at = |file: &str| home.path().join(file).display().to_string();
        let (authority, certificate, key) = (at("authority.pem"), at("server.pem"), at("key.pem"));
        let listen = port.to_string();
        let arguments = [
            "--tls-port",
            &listen,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &authority,
            "--tls-auth-clients",
            "no",
        ];
        let redis = Redis::start_with(&arguments).await.unwrap();
        let mut connection = redis.connect().await.unwrap();
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER").arg("corral").arg(&["on", ">secret", "~*", "&*", "+@all"]);
        let () = user.query_async(&mut connection).await.unwrap();
        Self { redis, port, home }
    }

    /// A configuration whose store is this Redis, for a user with this password.
    async fn config(&self, password: &str) -> String {
        let here = format!("rediss://corral:{password}@localhost:{}/{DATABASE}", self.port);
        Servers::shared().await.config_over(&here, "", "")
    }

    fn trust(&self) -> Vec<(&'static str, String)> {
        trust(self.home.path())
    }
}

/// The environment variable by which the system trusts the authority.
fn trust(home: &Path) -> Vec<(&'static str, String)> {
    vec![("SSL_CERT_FILE", home.join("authority.pem").display().to_string())]
}

/// Makes an authority, and a server's certificate that it has signed.
fn certify(home: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&authority).unwrap();
    std::fs::write(home.join("authority.pem"), certificate.pem()).unwrap();
    let issuer = Issuer::new(params, authority);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let server = server.signed_by(&key, &issuer).unwrap();
    std::fs::write(home.join("server.pem"), server.pem()).unwrap();
    std::fs::write(home.join("key.pem"), key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn a_store_behind_tls_and_a_password_serves_hits_from_its_database() {
    let store = Encrypted::start().await;
    let host = Host::start_in(store.trust(), &store.config("secret").await).await.unwrap();
    get(&host, READ).await;
    let hit = get(&host, READ).await;
    assert!(hit.header("cache-status").ends_with("detail=store"), "{hit:?}");
    let mut connection = store.redis.connect().await.unwrap();
    let mut keys = redis::pipe();
    keys.cmd("SELECT").arg(DATABASE).ignore().cmd("DBSIZE");
    let (keys,): (u64,) = keys.query_async(&mut connection).await.unwrap();
    assert!(keys > 0, "nothing in database {DATABASE}");
}

/// The controls: if the host does not trust the authority, or has no password, it does not use the
/// store.
#[tokio::test]
async fn a_store_that_can_not_be_trusted_is_not_used_and_reads_are_answered() {
    let store = Encrypted::start().await;
    let strange = Host::start(&store.config("secret").await).await.unwrap();
    is_without_store(&strange).await;
    let locked = Host::start_in(store.trust(), &store.config("guessed").await).await.unwrap();
    is_without_store(&locked).await;
}

async fn is_without_store(host: &Host) {
    eventually("the store to be known as away", SOON, || async {
        let answer = get(host, READ).await;
        Ok(answer.header("cache-status").contains("store-unavailable").then_some(()))
    })
    .await
    .unwrap();
    let ready: Value = get(host, "/readyz").await.json().unwrap();
    assert_ne!(ready["store"], "closed", "{ready}");
}

#[tokio::test]
async fn an_origin_is_trusted_whose_authority_the_system_trusts_and_no_other() {
    let home = tempfile::tempdir().unwrap();
    certify(home.path());
    let pem = |file: &str| std::fs::read_to_string(home.path().join(file)).unwrap();
    let postgres = Postgres::start_encrypted(&pem("server.pem"), &pem("key.pem")).await.unwrap();
    let config = format!(
        "[origin]\nurl = \"postgres://postgres@localhost:{}/postgres?sslmode=verify-full\"\n\
         [entity.session]\nread = \"SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()\"\n\
         ttl = \"1m\"\n",
        postgres.port()
    );
    let host = Host::start_in(trust(home.path()), &config).await.unwrap();
    let answer = get(&host, "/read/session").await;
    assert_eq!(answer.json().unwrap(), json!({"ssl": true}), "{}", host.log());
    // The control: another authority than those of the system.
    let strange = Host::start_alive(&config).await.unwrap();
    assert_eq!(get(&strange, "/read/session").await.status, StatusCode::SERVICE_UNAVAILABLE);
}
