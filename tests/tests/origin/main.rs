//! The origins over a real Postgres and a real SQLite file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the lint's exception for tests does not reach their helpers"
)]

mod kit;
mod pooled;
mod postgres_bad_days;
mod postgres_changes;
mod postgres_checks;
mod postgres_doubt;
mod postgres_failures;
mod postgres_identity;
mod postgres_reads;
mod postgres_relations;
mod postgres_types;
mod postgres_writes;
mod proxy;
mod relations_hold;
mod schemas;
mod server;
mod sessions;
mod sqlite;
mod sqlite_doubt;
mod sqlite_relations;
mod types;
mod values;
