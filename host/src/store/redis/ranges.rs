//! The ranges of a node, the hosts that are alive, and small notes.

use std::time::Duration;

use bytes::Bytes;
use redis::Pipeline;

use super::calls::Call;
use super::{RedisStore, lifetime_ms};
use crate::store::range::{VERSION, watched_field};
use crate::store::{
    Epoch, FloorScope, HostCard, Listing, Naming, Over, Range, RangeId, StoreError,
};

/// How long the range and the intents are kept; every use prolongs it. They outlive the
/// longest-lived value, so that no value is left that a lost range or a lost intent concerns.
pub(super) const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long a host is listed as alive after it listed itself last.
const LISTED: Duration = Duration::from_secs(30);

/// How long a host is remembered after it is no longer listed ([`Listing::is_alone`]).
const REMEMBERED: Duration = Duration::from_secs(2 * 3600);

/// A floor or a version, random and never 0.
fn random() -> String {
    text(rand::random::<u64>().max(1))
}

/// A floor or a version as the range has it. Scripts compare texts, so each number has exactly one
/// text.
fn text(number: u64) -> String {
    format!("{number:016x}")
}

impl RedisStore {
    pub(super) async fn ask_ranges(
        &self,
        ranges: &[RangeId],
    ) -> Result<Over<Vec<Range>>, StoreError> {
        let mut commands = Pipeline::with_capacity(ranges.len());
        for range in ranges {
            commands.cmd("HGETALL").arg(self.names.range(*range));
        }
        // RESP2 answers a list of pairs, RESP3 a map.
        let fields: Over<Vec<Vec<(String, String)>>> = self.pipeline(&commands).await?;
        let now_ms = self.clock.now_ms();
        let read = |fields: Vec<(String, String)>| {
            Range::read(now_ms, fields.iter().map(|(name, content)| (&**name, &**content)))
        };
        Ok(fields.map(|ranges| ranges.into_iter().map(read).collect()))
    }

    pub(super) async fn publish_namings(
        &self,
        ranges: &[RangeId],
        namings: &[Naming],
    ) -> Result<Over<Vec<Range>>, StoreError> {
        let call = |range: &RangeId| {
            let mut args = vec![lifetime_ms(KEPT), random(), random()];
            for naming in namings {
                let scope = naming.scope();
                let used_for = naming.in_use_ms().to_string();
                args.extend([scope.naming_field(), used_for, naming.encode()]);
                args.extend([scope.floor_field(), random()]);
            }
            (vec![self.names.range(*range)], args)
        };
        let calls: Vec<Call> = ranges.iter().map(call).collect();
        type Published = (bool, Vec<usize>, Vec<String>);
        let over = self.run_each::<Published>(&self.scripts.publish, &calls).await?;
        let range = |(now_ms, (was_empty, new, fields)): (u64, Published)| {
            let new = new.into_iter().filter_map(|at| namings.get(at)).map(Naming::scope).collect();
            Range { new, was_empty, ..read(now_ms, &fields) }
        };
        Ok(over.map(|published| published.into_iter().map(range).collect()))
    }

    pub(super) async fn raise_floors(
        &self,
        ranges: &[RangeId],
        scopes: &[FloorScope],
    ) -> Result<Over<()>, StoreError> {
        let fields = || scopes.iter().map(|scope| (scope.floor_field(), random())).collect();
        self.write_fields(ranges.iter().map(|range| (*range, fields())).collect()).await
    }

    pub(super) async fn write_watched(
        &self,
        ranges: &[RangeId],
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        let fields = || vec![(watched_field(epoch), "1".to_owned())];
        let written = ranges.iter().map(|range| (*range, fields())).collect();
        self.write_fields(written).await.map(drop)
    }

    pub(super) async fn write_known(
        &self,
        range: RangeId,
        namings: &[(FloorScope, u64)],
    ) -> Result<(), StoreError> {
        let field = |(scope, floor): &(FloorScope, u64)| (scope.known_field(), text(*floor));
        let fields = namings.iter().map(field).collect();
        self.write_fields(vec![(range, fields)]).await.map(drop)
    }

    async fn write_fields(
        &self,
        written: Vec<(RangeId, Vec<(String, String)>)>,
    ) -> Result<Over<()>, StoreError> {
        let call = |(range, fields): (RangeId, Vec<(String, String)>)| {
            let mut args = vec![lifetime_ms(KEPT), random()];
            args.extend(fields.into_iter().flat_map(|(name, content)| [name, content]));
            (vec![self.names.range(range)], args)
        };
        let calls: Vec<Call> = written.into_iter().map(call).collect();
        Ok(self.run_each::<u64>(&self.scripts.raise, &calls).await?.map(drop))
    }

    pub(super) async fn list_host(&self, card: &HostCard) -> Result<Listing, StoreError> {
        // Can't fail: texts and a number have JSON.
        let text = serde_json::to_string(card).unwrap_or_default();
        let (listed, remembered) = (lifetime_ms(LISTED), lifetime_ms(REMEMBERED));
        let args = [&*card.id, &text, &listed, &remembered].map(str::as_bytes);
        let hosts = self.names.hosts();
        let (was_listed, is_alone, cards): (bool, bool, Vec<String>) =
            self.run(&self.scripts.enlist, &[&hosts], &args).await?.answer;
        let alive = cards.iter().filter_map(|card| serde_json::from_str(card).ok()).collect();
        Ok(Listing { alive, was_listed, is_alone })
    }

    pub(super) async fn unlist_host(&self, id: &str) -> Result<(), StoreError> {
        let command = redis::cmd("HDEL").arg(self.names.hosts()).arg(id).take();
        self.send::<u64>(command).await.map(drop)
    }

    pub(super) async fn read_note(&self, of: &str) -> Result<Option<Bytes>, StoreError> {
        let command = redis::cmd("GET").arg(self.names.note(of)).take();
        let note: Over<Option<Vec<u8>>> = self.send(command).await?;
        Ok(note.answer.map(Bytes::from))
    }

    pub(super) async fn set_note(
        &self,
        of: &str,
        note: &[u8],
        lasts: Duration,
    ) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(self.names.note(of)).arg(note).arg("PX").arg(lifetime_ms(lasts));
        self.send::<()>(command).await.map(drop)
    }

    /// The commands by which a beat asks for the versions of ranges.
    pub(super) fn version_commands(&self, ranges: &[RangeId]) -> Pipeline {
        let mut commands = Pipeline::with_capacity(ranges.len());
        commands.ignore_errors();
        for range in ranges {
            commands.cmd("HGET").arg(self.names.range(*range)).arg(VERSION);
        }
        commands
    }
}

fn read(now_ms: u64, fields: &[String]) -> Range {
    let pairs = fields.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str()));
    Range::read(now_ms, pairs)
}
