//! Each error once, with the whole body that it returns.

use corral_tests::servers::{Host, eventually};
use hyper::StatusCode;

use super::common::{PASSWORD, SOON, Servers, ask, get};

/// A request that fails, and the document that the answer has to be.
struct Case {
    request: &'static str,
    body: &'static str,
    /// Headers that the answer has beside `Content-Type`.
    headers: &'static [(&'static str, &'static str)],
    document: &'static str,
}

const fn case(request: &'static str, body: &'static str, document: &'static str) -> Case {
    Case { request, body, headers: &[], document }
}

/// The errors of a host with all its servers.
const CASES: &[Case] = &[
    // 400: what is wrong with each parameter
    case(
        "GET /read/user.profile",
        "",
        r#"{"type":"urn:corral:problem:invalid-parameter","title":"A parameter is wrong","status":400,"detail":"see parameters for what is wrong with each","parameters":[{"parameter":"id","problem":"it is missing; it is int8"}]}"#,
    ),
    case(
        "GET /read/user.profile?id=7&page=2",
        "",
        r#"{"type":"urn:corral:problem:invalid-parameter","title":"A parameter is wrong","status":400,"detail":"see parameters for what is wrong with each","parameters":[{"parameter":"page","problem":"there is no such parameter"}]}"#,
    ),
    case(
        "GET /read/user.profile?id=7&id=8",
        "",
        r#"{"type":"urn:corral:problem:invalid-parameter","title":"A parameter is wrong","status":400,"detail":"see parameters for what is wrong with each","parameters":[{"parameter":"id","problem":"it is given twice"}]}"#,
    ),
    case(
        "GET /read/user.profile?id=seven",
        "",
        r#"{"type":"urn:corral:problem:invalid-parameter","title":"A parameter is wrong","status":400,"detail":"see parameters for what is wrong with each","parameters":[{"parameter":"id","problem":"`seven` is no int8: write a whole number from -9223372036854775808 to 9223372036854775807"}]}"#,
    ),
    case(
        "GET /read/report.slow?id=1.5&user=7",
        "",
        r#"{"type":"urn:corral:problem:invalid-parameter","title":"A parameter is wrong","status":400,"detail":"see parameters for what is wrong with each","parameters":[{"parameter":"user","problem":"there is no such parameter"},{"parameter":"id","problem":"`1.5` is no int8: write a whole number from -9223372036854775808 to 9223372036854775807"},{"parameter":"ms","problem":"it is missing; it is int8"}]}"#,
    ),
    case(
        "POST /write/user.card/rename",
        r#"{"id": 1, "name": ["a"]}"#,
        r#"{"type":"urn:corral:problem:invalid-parameter","title":"A parameter is wrong","status":400,"detail":"see parameters for what is wrong with each","parameters":[{"parameter":"name","problem":"`[\\\"a\\\"]` is no text: write a JSON string"}]}"#,
    ),
    case(
        "POST /invalidate",
        r#"{"keys": ["a b"]}"#,
        r#"{"type":"urn:corral:problem:invalid-parameter","title":"A parameter is wrong","status":400,"detail":"see parameters for what is wrong with each","parameters":[{"parameter":"keys[0]","problem":"it is no key: it has ' ' at byte 1"}]}"#,
    ),
    case(
        "POST /invalidate",
        r#"{"tags": ["user:7", ""]}"#,
        r#"{"type":"urn:corral:problem:invalid-parameter","title":"A parameter is wrong","status":400,"detail":"see parameters for what is wrong with each","parameters":[{"parameter":"tags[1]","problem":"it is empty"}]}"#,
    ),
    case(
        "POST /invalidate",
        r#"{"tags": ["user:{id}"]}"#,
        r#"{"type":"urn:corral:problem:invalid-parameter","title":"A parameter is wrong","status":400,"detail":"see parameters for what is wrong with each","parameters":[{"parameter":"tags[0]","problem":"it is a template, without values; name it exactly, {\"tag\": \"user:{id}\", \"values\": {\"id\": 42}}"}]}"#,
    ),
    case(
        "POST /invalidate",
        r#"{"tags": [{"tag": "user:{id}", "values": {"id": "seven"}}]}"#,
        r#"{"type":"urn:corral:problem:invalid-parameter","title":"A parameter is wrong","status":400,"detail":"see parameters for what is wrong with each","parameters":[{"parameter":"tags[0].values.id","problem":"`seven` is no int8: write a whole number from -9223372036854775808 to 9223372036854775807"}]}"#,
    ),
    case(
        "GET /read/user.profile?id=%FF",
        "",
        r#"{"type":"urn:corral:problem:invalid-parameter","title":"A parameter is wrong","status":400,"detail":"see parameters for what is wrong with each","parameters":[{"parameter":"id","problem":"its value is no text: its bytes are no UTF-8"}]}"#,
    ),
    case(
        "GET /read/user.profile?id=7&%E2%82=1",
        "",
        r#"{"type":"urn:corral:problem:invalid-parameter","title":"A parameter is wrong","status":400,"detail":"see parameters for what is wrong with each","parameters":[{"parameter":"%E2%82","problem":"its name is no text: its bytes are no UTF-8"}]}"#,
    ),
    // 400: requests that can't be read at all
    case(
        "POST /write/user.card/rename",
        r#"{"id": 1, "name":"#,
        r#"{"type":"urn:corral:problem:malformed","title":"The request can't be read","status":400,"detail":"the body is no JSON at line 1, column 17"}"#,
    ),
    case(
        "POST /write/user.card/rename",
        r#"{"id": 1, "name": "a", "id": 2}"#,
        r#"{"type":"urn:corral:problem:malformed","title":"The request can't be read","status":400,"detail":"`id` is given twice at line 1 column 31"}"#,
    ),
    case(
        "POST /write/user.card/rename",
        "[1]",
        r#"{"type":"urn:corral:problem:malformed","title":"The request can't be read","status":400,"detail":"the body is no JSON object"}"#,
    ),
    case(
        "POST /invalidate",
        r#"{"keys": [], "key": []}"#,
        r#"{"type":"urn:corral:problem:malformed","title":"The request can't be read","status":400,"detail":"unknown field `key`, expected one of `keys`, `tags`, `reads`, `all` at line 1 column 18"}"#,
    ),
    case(
        "GET /read/%FF?id=7",
        "",
        r#"{"type":"urn:corral:problem:malformed","title":"The request can't be read","status":400,"detail":"Invalid URL: Invalid UTF-8 in `entity`"}"#,
    ),
    // 403, 404, 405
    case(
        "POST /query",
        r#"{"sql": "SELECT 1"}"#,
        r#"{"type":"urn:corral:problem:not-allowed","title":"This is not allowed here","status":403,"detail":"ad-hoc queries are off (query.enabled)"}"#,
    ),
    case(
        "GET /read/user.profil?id=7",
        "",
        r#"{"type":"urn:corral:problem:unknown-entity","title":"There is no such entity","status":404,"detail":"the configuration has no entity \"user.profil\""}"#,
    ),
    case(
        "POST /write/user.profil/rename",
        "{}",
        r#"{"type":"urn:corral:problem:unknown-entity","title":"There is no such entity","status":404,"detail":"the configuration has no entity \"user.profil\""}"#,
    ),
    case(
        "POST /invalidate",
        r#"{"reads": [{"entity": "user.profil"}]}"#,
        r#"{"type":"urn:corral:problem:unknown-entity","title":"There is no such entity","status":404,"detail":"the configuration has no entity \"user.profil\""}"#,
    ),
    case(
        "POST /write/user.profile/renam",
        "{}",
        r#"{"type":"urn:corral:problem:unknown-write","title":"There is no such write","status":404,"detail":"the configuration has no write \"renam\""}"#,
    ),
    case(
        "GET /read/user.profile?id=999",
        "",
        r#"{"type":"urn:corral:problem:no-row","title":"There is no such row","status":404,"detail":"the read is well formed and the origin has no such row"}"#,
    ),
    case(
        "GET /reads/user.profile?id=7",
        "",
        r#"{"type":"urn:corral:problem:not-found","title":"There is nothing here","status":404,"detail":"/read, /write, /invalidate and /query are on the address of listen, /metrics and /admin on that of [admin] listen"}"#,
    ),
    Case {
        request: "DELETE /read/user.profile?id=7",
        body: "",
        headers: &[("allow", "GET, HEAD")],
        document: r#"{"type":"urn:corral:problem:method-not-allowed","title":"The method is not allowed here","status":405,"detail":"this path takes GET, HEAD"}"#,
    },
    Case {
        request: "GET /write/user.card/rename",
        body: "",
        headers: &[("allow", "POST")],
        document: r#"{"type":"urn:corral:problem:method-not-allowed","title":"The method is not allowed here","status":405,"detail":"this path takes POST"}"#,
    },
    Case {
        request: "POST /admin/policy",
        body: "",
        headers: &[("allow", "GET, HEAD, PUT")],
        document: r#"{"type":"urn:corral:problem:method-not-allowed","title":"The method is not allowed here","status":405,"detail":"this path takes GET, HEAD, PUT"}"#,
    },
    // errors of the database
    case(
        "POST /write/user.card/add",
        r#"{"id": 1}"#,
        r#"{"type":"urn:corral:problem:conflict","title":"The write breaks a constraint","status":409,"detail":"nothing was written","code":"23505"}"#,
    ),
    case(
        "POST /write/user.card/divide",
        r#"{"id": 1, "by": 0}"#,
        r#"{"type":"urn:corral:problem:write-rejected","title":"The write was rejected","status":422,"detail":"nothing was written","code":"22012"}"#,
    ),
    case(
        "GET /read/report.ratio?by=0",
        "",
        r#"{"type":"urn:corral:problem:statement-failed","title":"The statement failed","status":502,"detail":"the database rejected the statement of this entity; a host that runs with RUST_LOG=info,corral_host=debug has its words in the log","code":"22012"}"#,
    ),
    case(
        "GET /read/report.large",
        "",
        r#"{"type":"urn:corral:problem:answer-too-large","title":"The answer is too large","status":502,"detail":"the rows are more than a cache should keep; narrow the read"}"#,
    ),
    Case {
        request: "GET /read/report.late?id=1",
        body: "",
        headers: &[("retry-after", "1")],
        document: r#"{"type":"urn:corral:problem:deadline","title":"The deadline passed","status":504,"detail":"no answer within 300ms, which entity.\"report.late\".deadline sets: make the statement faster, or raise it; its load goes on for up to 10s (load_limit), for the next reader"}"#,
    },
    // The policy
    case(
        "PUT /admin/policy",
        "no policy",
        r#"{"type":"urn:corral:problem:policy-refused","title":"The policy did not pass the gate","status":422,"detail":"it is text; a policy is a compiled component (`corral policy build` makes one)","report":{"stage":"format","reason":"it is text; a policy is a compiled component (`corral policy build` makes one)"}}"#,
    ),
    case(
        "POST /admin/policy/rollback",
        "",
        r#"{"type":"urn:corral:problem:nothing-to-roll-back","title":"There is nothing to roll back to","status":409,"detail":"there is nothing to roll back to: no other policy was active in this process"}"#,
    ),
];

/// The errors of a host whose origin is down.
const ORIGIN_AWAY: &[Case] = &[
    Case {
        request: "GET /read/user.profile?id=7",
        body: "",
        headers: &[("retry-after", "1")],
        document: r#"{"type":"urn:corral:problem:origin-unavailable","title":"The origin is unavailable","status":503,"detail":"the database does not answer, and no stored value may be served"}"#,
    },
    Case {
        request: "POST /write/user.profile/rename",
        body: r#"{"id": 7, "name": "Ada", "email": "ada@example.com"}"#,
        headers: &[("retry-after", "1")],
        document: r#"{"type":"urn:corral:problem:origin-unavailable","title":"The origin is unavailable","status":503,"detail":"the database does not answer; nothing was written"}"#,
    },
];

const TOO_LARGE: &str = r#"{"type":"urn:corral:problem:too-large","title":"The body is too large","status":413,"detail":"at most 1048576 bytes are taken"}"#;

const OVERLOADED: &str = r#"{"type":"urn:corral:problem:overloaded","title":"Too many loads are waiting","status":503,"detail":"as many statements as allowed are running; none ended in time"}"#;

#[tokio::test]
async fn each_error_is_the_document_that_it_was_yesterday() {
    let servers = Servers::shared().await;
    let host = servers.host("").await;
    let needles = needles(servers);
    for case in CASES {
        check(&host, case, &needles).await;
    }
}

#[tokio::test]
async fn a_body_is_refused_past_its_limit_and_not_before() {
    let host = Servers::shared().await.host("").await;
    let limit = 1 << 20;
    let names = "x".repeat(limit - r#"{"id": 0, "name": ""}"#.len());
    let largest = format!(r#"{{"id": 0, "name": "{names}"}}"#);
    assert_eq!(largest.len(), limit);
    let taken = ask(&host, "POST /write/user.card/rename", &[], largest.clone()).await;
    assert_eq!(taken.status, StatusCode::OK, "{:?}", taken.body);
    let refused = ask(&host, "POST /write/user.card/rename", &[], largest + " ").await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.text().unwrap(), TOO_LARGE);
}

#[tokio::test]
async fn an_origin_that_is_away_is_unavailable_and_stays_anonymous() {
    // Nothing listens on port 1.
    let url = format!("postgres://app:{PASSWORD}@127.0.0.1:1/shop");
    let host = Host::start(&corral_tests::shop::config(None, &url)).await.unwrap();
    for case in ORIGIN_AWAY {
        check(&host, case, &["127.0.0.1", "postgres", PASSWORD, "shop", "app", "users"]).await;
    }
}

#[tokio::test]
async fn who_finds_no_place_among_the_loads_is_told_to_come_again() {
    let servers = Servers::shared().await;
    let origin = format!("url = \"{}\"", servers.origin_url());
    let config = servers.config("", "").replace(&origin, &format!("{origin}\nmax_loads = 1"));
    let host = Host::start(&config).await.unwrap();
    let holding = get(&host, "/read/report.slow?id=1&ms=3000");
    let refused = async {
        eventually("the only place is taken", SOON, || async {
            let taken = host.metrics().await?.sum("corral_flights") == 1.0;
            Ok(taken.then_some(()))
        })
        .await
        .unwrap();
        get(&host, "/read/report.late?id=1").await
    };
    let (held, refused) = tokio::join!(holding, refused);
    assert_eq!(held.status, StatusCode::OK);
    assert_eq!(refused.text().unwrap(), OVERLOADED);
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), "1");
}

async fn check(host: &Host, case: &Case, needles: &[&str]) {
    let Case { request, body, headers, document } = case;
    let answer = ask(host, request, &[], *body).await;
    let shown = answer.text().unwrap();
    assert_eq!(shown, *document, "{request}");
    assert_eq!(answer.json().unwrap()["status"], answer.status.as_u16(), "{request}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{request}");
    assert_eq!(answer.header("cache-control"), "no-store", "{request}");
    for (name, value) in *headers {
        assert_eq!(answer.header(name), *value, "{request}");
    }
    for needle in needles {
        assert!(!shown.contains(needle), "{request} shows {needle}: {shown}");
    }
}

/// What no document may show: SQL, tables, addresses, secrets.
fn needles(servers: &Servers) -> Vec<&'static str> {
    let ports = [servers.postgres.port(), servers.redis.port()];
    let ports = ports.map(|port| &*port.to_string().leak());
    let words = [
        "SELECT",
        "UPDATE",
        "INSERT",
        "users",
        "products",
        "pg_sleep",
        "127.0.0.1",
        "localhost",
        "postgres",
        "redis",
        PASSWORD,
    ];
    words.into_iter().chain(ports).collect()
}
