//! The targets: all code that reads bytes from outside the process.

use bytes::Bytes;
use corral_host::config::{Config, Environment};
use corral_host::fuzzing;
use corral_host::origin::{ParamType, Value};
use corral_host::store::{
    Envelope, Epoch, Fingerprint, Intent, IntentTarget as Touched, Stamp, StoreKey, StoreTag,
};

use super::decisions::Decisions;
use super::http::Http;
use crate::shop;

/// Code that reads bytes from outside the process.
pub trait Target {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Valid inputs.
    fn samples(&self) -> Vec<Vec<u8>>;

    /// Words of their language.
    fn words(&self) -> &'static [&'static str];

    /// The most memory that one input may take, in bytes: several times the longest input.
    fn most_bytes(&self) -> usize {
        4 << 20
    }

    /// How many inputs in a hundred are this target's in a whole run.
    fn share(&self) -> u64;

    /// Reads the input, and panics if that breaks a promise; whether the input was understood.
    fn attempt(&mut self, bytes: &[u8]) -> bool;
}

/// All targets.
#[must_use]
pub fn targets() -> Vec<Box<dyn Target>> {
    vec![
        Box::new(Envelopes),
        Box::new(Intents),
        Box::new(Replies),
        Box::new(Queries),
        Box::new(Values),
        Box::new(Configurations),
        Box::new(Decisions),
        Box::new(Http::default()),
    ]
}

/// Values in the store.
struct Envelopes;

impl Target for Envelopes {
    fn name(&self) -> &'static str {
        "envelope"
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        let bodies = [None, Some(Bytes::new()), Some(Bytes::from_static(br#"{"id":42}"#))];
        let envelope = |body| Envelope {
            loaded_at_ms: 1_700_000_000_000,
            refresh_at_ms: 1_700_000_050_000,
            fresh_until_ms: 1_700_000_060_000,
            stale_until_ms: u64::MAX,
            generation: 7,
            cost_ms: 12,
            etag: 1 << 100,
            fingerprint: Fingerprint::of_read(42),
            stamp: Stamp { epoch: Epoch(9), word: Stamp::word([1, 2]) },
            tag_slots: vec![],
            body,
        };
        bodies.map(|body| envelope(body).encode()).to_vec()
    }

    fn words(&self) -> &'static [&'static str] {
        &["\u{0}\u{0}\u{0}\u{0}", "\u{1}", "\u{7f}"]
    }

    fn share(&self) -> u64 {
        25
    }

    fn attempt(&mut self, bytes: &[u8]) -> bool {
        let Ok(envelope) = Envelope::decode(Bytes::copy_from_slice(bytes)) else { return false };
        let again = Envelope::decode(Bytes::from(envelope.encode()));
        assert_eq!(again.as_ref(), Ok(&envelope), "an envelope changes when it is written again");
        true
    }
}

/// Announcements in the store.
struct Intents;

impl Target for Intents {
    fn name(&self) -> &'static str {
        "intent"
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        let arguments = vec![("id".to_owned(), Some("7".to_owned())), ("at".to_owned(), None)];
        let key = StoreKey::try_new("v1:user:7").ok().map(Touched::Key);
        let tag = StoreTag::try_new("user:7").ok().map(Touched::Tag);
        let read = Some(Touched::Read { entity: "user".to_owned(), arguments });
        let targets = [key, tag, read].into_iter().flatten().collect();
        let empty = Intent::new(0, Vec::new(), None);
        vec![Intent::new(42, targets, Some(725)).encode().into(), empty.encode().into()]
    }

    fn words(&self) -> &'static [&'static str] {
        &["null", "[[[[[[[[", "{\"", "\"\\ud800\"", "{", "}", "\"transaction\":"]
    }

    fn share(&self) -> u64 {
        10
    }

    fn attempt(&mut self, bytes: &[u8]) -> bool {
        let Ok(intent) = Intent::decode(&String::from_utf8_lossy(bytes)) else { return false };
        let again = Intent::decode(&intent.encode());
        assert_eq!(
            again.as_ref().ok(),
            Some(&intent),
            "an intent changes when it is written again"
        );
        true
    }
}

/// What a Redis answers.
struct Replies;

impl Target for Replies {
    fn name(&self) -> &'static str {
        "reply"
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        [
            "+OK\r\n:7\r\n$5\r\nhello\r\n",
            "*3\r\n:1\r\n*2\r\n$-1\r\n$0\r\n\r\n-ERR no\r\n",
            "*-1\r\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "\r\n",
            "$",
            "*",
            ":",
            "-MOVED 1 host:1\r\n",
            "*1\r\n",
            "$536870912\r\n",
            "*536870912\r\n",
        ]
    }

    fn share(&self) -> u64 {
        20
    }

    fn attempt(&mut self, bytes: &[u8]) -> bool {
        fuzzing::replies(bytes)
    }
}

/// Query strings.
struct Queries;

impl Target for Queries {
    fn name(&self) -> &'static str {
        "query-string"
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        ["id=42", "name=%C3%A9+b&at=2026-01-01T00%3A00%3A00Z&&x", "a=%zz&=1&b"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec()
    }

    fn words(&self) -> &'static [&'static str] {
        &["%", "%2", "%ff", "%00", "&", "=", "+", "%C3%A9"]
    }

    fn share(&self) -> u64 {
        14
    }

    fn attempt(&mut self, bytes: &[u8]) -> bool {
        fuzzing::query_string(&String::from_utf8_lossy(bytes))
    }
}

/// Arguments, as text and as JSON.
struct Values;

const TYPES: [&str; 16] = [
    "text",
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "numeric",
    "uuid",
    "date",
    "timestamp",
    "timestamptz",
    "json",
    "jsonb",
    "bytea",
    "numeric[]",
];

impl Target for Values {
    fn name(&self) -> &'static str {
        "value"
    }

    /// The first byte chooses the type.
    fn samples(&self) -> Vec<Vec<u8>> {
        let texts = [
            "42",
            "-0.10e-3",
            "true",
            "2026-02-28 23:59:60.123456+05:30",
            "\\xdeadbeef",
            r#"{"a":[1,null,"é"]}"#,
            "{1,2,NULL}",
            "[1,2.50,null]",
            "infinity",
            "NaN",
            "67e55044-10b1-426f-9247-bb680e5fe0c8",
        ];
        let sample = |ty: usize, text: &str| [&[ty as u8], text.as_bytes()].concat();
        (0..TYPES.len()).flat_map(|ty| texts.map(|text| sample(ty, text))).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &["e99999999", "e-99999999", ".", "-", "BC", "9999999", "[", "\"\\ud800\"", "null", ","]
    }

    fn share(&self) -> u64 {
        10
    }

    fn attempt(&mut self, bytes: &[u8]) -> bool {
        let Some((choice, text)) = bytes.split_first() else { return false };
        let Ok(ty) = TYPES[usize::from(*choice) % TYPES.len()].parse::<ParamType>() else {
            return false;
        };
        let text = String::from_utf8_lossy(text);
        if let Ok(json) = serde_json::from_str(&text) {
            // It may be refused; the call only has to end.
            let _value = Value::from_json(ty, &json);
        }
        let Ok(value) = Value::from_text(ty, Some(&text)) else { return false };
        let canonical = value.canonical().map(str::to_owned);
        let again = Value::from_text(ty, canonical.as_deref());
        let again = again.as_ref().ok().and_then(Value::canonical);
        assert_eq!(again, canonical.as_deref(), "a canonical {ty} is read as another one");
        true
    }
}

/// Configurations.
struct Configurations;

impl Target for Configurations {
    fn name(&self) -> &'static str {
        "configuration"
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        let shop = shop::config(Some("redis://127.0.0.1:6379"), "postgres://app@127.0.0.1/shop");
        let top = "listen = '127.0.0.1:0'\ngrace = '10s'\n[admin]\nlisten = '[::1]:7071'\n\
                   token = 'secret'\n[access]\nread = 'a'\nwrite = 'b'\n[store]\ntimeout = '50ms'\n\
                   prefix = 'corral:'\n[near]\nbytes = '64MiB'\n[policy]\nwatch = true\n\
                   [policy.limits]\ncall = '10ms'\n[query]\nenabled = true\n";
        let entity = "[entity.\"a.b\"]\nparams = ['id:int8', 'at:timestamptz']\n\
                      read = 'SELECT 1 WHERE $1 = 2'\nttl = '5m'\ntags = ['t:{id}:{row.x}']\n\
                      [entity.\"a.b\".write.w]\nparams = ['id:int8']\nsql = 'UPDATE t SET x = $1'\n\
                      touches = ['a.b(id, null)', 'tag t:{old.x}']\nthen = 'write-through'\n";
        vec![shop.into(), top.into(), entity.into()]
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "{",
            "}",
            "{row.",
            "'18446744073709551615s'",
            "'1e400'",
            "[entity.x]\n",
            "= ",
            "\\u0000",
            "ttl = ",
            "'99999999999999999999d'",
            "tags = ['{']",
            "::",
            "\"\"\"",
            "?sslmode=",
            "%",
        ]
    }

    fn share(&self) -> u64 {
        4
    }

    fn attempt(&mut self, bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(bytes);
        let parsed = Config::parse(&text, "corral.toml", &Environment::default());
        // A refusal has to have a text.
        let said = parsed.as_ref().map_or_else(ToString::to_string, |_| String::new());
        assert_eq!(parsed.is_ok(), said.is_empty(), "a refusal without a word");
        parsed.is_ok()
    }
}
