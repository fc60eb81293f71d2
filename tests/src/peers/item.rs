//! The same answer that every server gives.

use anyhow::ensure;
use hyper::StatusCode;

use crate::client::Client;

/// How long an answer is, unless its length is measured: a row of a few columns.
pub const BYTES: usize = 400;

/// How many things there are: few enough to be warm in every cache after a moment.
pub const KEYS: u64 = 1_000;

/// How many of them are looked at before a server is measured.
const CHECKED: u64 = 20;

/// The part of an answer around the number and the text.
const FRAME: usize = r#"{"id":,"text":""}"#.len();

/// What the text repeats.
const FILL: &str = "abcdefghij";

/// The answer about thing `id`, `bytes` long: a row as Postgres writes it in JSON.
#[must_use]
pub fn body(id: u64, bytes: usize) -> String {
    let id = id.to_string();
    let length = bytes.saturating_sub(FRAME + id.len());
    let text: String = FILL.chars().cycle().take(length).collect();
    format!(r#"{{"id":{id},"text":"{text}"}}"#)
}

/// The entities that give the answer: `item`, and `sized`, whose length is a parameter. `more` is
/// added to both (`near = "1m"`).
#[must_use]
pub fn entities(more: &str) -> String {
    let read = |bytes: &str| {
        format!(
            "SELECT $1::bigint AS id, \
             rpad('', ({bytes} - {FRAME} - length($1::bigint::text))::int, '{FILL}') AS text"
        )
    };
    format!(
        "[entity.item]\nparams = [\"id:int8\"]\nread = \"{}\"\nttl = \"1h\"\n{more}\n\
         [entity.sized]\nparams = [\"id:int8\", \"bytes:int8\"]\nread = \"{}\"\nttl = \"1h\"\n{more}\n\
         [entity.tagged]\nparams = [\"id:int8\", \"tag:int8\"]\n\
         read = \"SELECT $1::bigint AS id, $2::bigint AS tag\"\nttl = \"1h\"\n\
         tags = [\"crowd:{{tag}}\"]\n",
        read(&BYTES.to_string()),
        read("$2::bigint"),
    )
}

/// Reads the first few things twice, cold and warm, and compares the answers byte by byte. `url`
/// ends where the number begins.
///
/// # Errors
/// The first answer that differs.
pub async fn check(url: &str) -> anyhow::Result<()> {
    let client = Client::new();
    for _ in ["cold", "warm"] {
        for id in 1..=CHECKED {
            let answer = client.get(&format!("{url}{id}")).await?;
            ensure!(answer.status == StatusCode::OK, "{url}{id} answers {}", answer.status);
            ensure!(
                answer.body == body(id, BYTES),
                "{url}{id} does not answer what the others do: {:?}",
                answer.body
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_and_as_long_as_asked_for() {
        for (id, bytes) in [(1, BYTES), (1_000, BYTES), (7, 100), (123_456, 1_000_000)] {
            let body = body(id, bytes);
            assert_eq!(body.len(), bytes);
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(value["id"], id);
        }
    }
}
