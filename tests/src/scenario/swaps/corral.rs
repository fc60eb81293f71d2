//! Two policies that give reads the same names and different lifetimes, in turn.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use corral_host::policy::builtin;

use super::wire::Wire;
use super::{Exchanged, Side, Swaps, Target, Took, USUAL, Which, is_of_the_shop};
use crate::policies::{component, variant};
use crate::scenario::hosts::Seat;
use crate::servers::{Postgres, Redis};
use crate::shop::{self, Shop};

/// A read whose answer says which generation decided it.
const PATH: &str = "/read/product.page?id=1";
const HEADER: &str = "corral-policy";

pub(super) async fn run(swaps: Swaps) -> anyhow::Result<Side> {
    let other = tokio::task::spawn_blocking(|| component("good/short-lived")).await??;
    let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
    Shop::small().load(&postgres.url()).await?;
    let config = shop::config(Some(&redis.url()), &postgres.url());
    let seat = Seat::take(&config, builtin()).await?;
    let pid = seat.host.pid().context("the host runs")?;
    let target = Target::learn(seat.host.url("/read/product.page?id="), is_of_the_shop).await?;
    let reads = Wire::to(&seat.host.url(""))?;
    let admin = Wire::to(&seat.host.url("/admin").replace("/admin", ""))?;
    let policies = [builtin().to_vec(), other];
    let exchanged = Policies { seat, reads, admin, policies, done: 0, new: 0 };
    swaps.measure(pid, target, exchanged, swaps.swaps, Which::New).await
}

struct Policies {
    seat: Seat,
    reads: Wire,
    admin: Wire,
    policies: [Vec<u8>; 2],
    /// Exchanges so far.
    done: usize,
    /// How many of those were to policies never seen before.
    new: u32,
}

impl Policies {
    fn generation(text: &str) -> Option<u64> {
        text.split_once(";generation=")?.1.parse().ok()
    }

    fn by_file(&mut self, candidate: &[u8], before: u64) -> anyhow::Result<Took> {
        self.seat.lay_beside(candidate)?;
        let began = Instant::now();
        self.seat.move_file()?;
        let is_new = |text: &str| Self::generation(text).is_some_and(|now| now > before);
        let active = self.reads.until(PATH, HEADER, is_new)?;
        Ok(Took { way: "file", time: active - began })
    }

    fn by_put(&mut self, candidate: &[u8], before: u64) -> anyhow::Result<Took> {
        let began = Instant::now();
        let reply = self.admin.request("PUT", "/admin/policy", candidate)?;
        let time = began.elapsed();
        let body = String::from_utf8_lossy(&reply.body);
        ensure!(reply.status == 200, "{} {body}", reply.status);
        let is_new = |text: &str| Self::generation(text).is_some_and(|now| now > before);
        self.reads.until(PATH, HEADER, is_new)?;
        Ok(Took { way: "put", time })
    }
}

impl Exchanged for Policies {
    fn look(&mut self) -> anyhow::Result<()> {
        self.reads.look(PATH, USUAL)
    }

    fn exchange(&mut self, which: Which) -> anyhow::Result<Took> {
        self.done += 1;
        let mut candidate = self.policies[self.done % 2].clone();
        if which == Which::New {
            self.new += 1;
            candidate = variant(&candidate, self.new);
        }
        let reply = self.reads.request("GET", PATH, b"")?;
        let before = reply.headers.get(HEADER).and_then(|text| Self::generation(text));
        let before = before.context("a generation")?;
        // Two exchanges by file, then two by an operator.
        if (self.done / 2).is_multiple_of(2) {
            self.by_file(&candidate, before)
        } else {
            self.by_put(&candidate, before)
        }
    }
}
