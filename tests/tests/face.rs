//! What users see, end to end: `corral` as a process over a real Redis and a real Postgres.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "face/access.rs"]
mod access;
#[path = "face/answers.rs"]
mod answers;
#[path = "face/audit.rs"]
mod audit;
#[path = "face/bodies.rs"]
mod bodies;
#[path = "face/browser.rs"]
mod browser;
#[path = "face/bulk.rs"]
mod bulk;
#[path = "face/check.rs"]
mod check;
#[path = "face/common.rs"]
mod common;
#[path = "face/crowded.rs"]
mod crowded;
#[path = "face/distant.rs"]
mod distant;
#[path = "face/encrypted.rs"]
mod encrypted;
#[path = "face/errors.rs"]
mod errors;
#[path = "face/forbidden.rs"]
mod forbidden;
#[path = "face/generated.rs"]
mod generated;
#[path = "face/generator.rs"]
mod generator;
#[path = "face/operations.rs"]
mod operations;
#[path = "face/origin.rs"]
mod origin;
#[path = "face/pages.rs"]
mod pages;
#[path = "face/query.rs"]
mod query;
#[path = "face/relations.rs"]
mod relations;
#[path = "face/reload.rs"]
mod reload;
#[path = "face/rows.rs"]
mod rows;
#[path = "face/shutdown.rs"]
mod shutdown;
#[path = "face/statements.rs"]
mod statements;
#[path = "face/surroundings.rs"]
mod surroundings;
#[path = "face/tags.rs"]
mod tags;
#[path = "face/touches.rs"]
mod touches;
#[path = "face/wire.rs"]
mod wire;
#[path = "face/words.rs"]
mod words;
