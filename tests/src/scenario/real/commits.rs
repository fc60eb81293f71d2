//! A commit whose writer does not learn the outcome: the commit waits for a standby that is not
//! there, or a pooler answers it with `FATAL` or `PANIC`. Such a write is not acknowledged. Still,
//! if it was committed, it is seen on every host soon after the database shows it, and if it was
//! not, no host answers it.

use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Verdict;
use super::desk::{Read, Told, Way};
use super::scene::{SOON, Scene};
use crate::forwarder::{Ending, Fault, Passing, Pooler};
use crate::scenario::deaths::SEEN_WITHIN;
use crate::scenario::{millis, rows};
use crate::servers::{Postgres, Redis, eventually};
use crate::sim::truth::Subject;

const HOSTS: usize = 2;

/// The host that writes.
const WRITER: usize = 0;

/// It is watched for this long after that: a value that was filled too early would reappear.
const STAYS: Duration = Duration::from_millis(1_500);

/// How late a pooler hands a commit on: its client was told of a failure long before, and the
/// database still has the transaction.
const LATE: Duration = Duration::from_millis(600);

/// The result of commits that hang.
#[derive(Debug, Clone, Serialize)]
pub struct Hanging {
    /// For how long they hung.
    pub hung_ms: f64,
    /// What the writers were told meanwhile.
    pub told: Vec<String>,
    /// How long after the database showed a write an older version was still answered.
    pub behind_ms: f64,
    /// The verdict on all requests.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// The result of commits that were broken.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// What was done to each commit, what its writer was told, and what is wrong.
    pub commits: Vec<Commit>,
    /// The verdict on all requests.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// One commit that was broken.
#[derive(Debug, Clone, Serialize)]
pub struct Commit {
    /// How it was broken.
    pub fault: String,
    /// What its writer was told.
    pub told: String,
    /// Whether it was carried out.
    pub written: bool,
    /// What is wrong. Empty if nothing is.
    pub wrong: String,
}

/// Three commits hang for so long: of a key, of a key that is filled again, and of a tag. Readers
/// read on both hosts all the time.
///
/// # Errors
/// If a server does not come up, or if a write is acknowledged that can't be seen.
pub async fn hang(lasts: Duration) -> anyhow::Result<Hanging> {
    let (redis, postgres) = (Redis::start().await?, Postgres::start_replicated().await?);
    let urls = vec![redis.url(); HOSTS];
    let mut scene = Scene::set_over(postgres, &urls, |config| config).await?;
    scene.fill().await?;
    scene.postgres.hold_commits().await?;
    let writes = [
        (Subject::Item(0), Way::Invalidate),
        (Subject::Item(1), Way::Through),
        // The items of this team are not written here.
        (Subject::Team(2), Way::Invalidate),
    ];
    let began = Instant::now();
    let writing = try_join_all(writes.map(async |(subject, way)| {
        let told = scene.desk.write(WRITER, subject, way).await?;
        anyhow::Ok(match told {
            Told::Done | Told::Pending => format!("{told:?}"),
            Told::Unknown(why) => why,
        })
    }));
    let (told, watched) = tokio::join!(writing, scene.watch(lasts));
    watched?;
    scene.postgres.release_commits().await?;
    let shown = scene.until_shown(&writes.map(|(subject, _)| subject)).await?;
    let hung_ms = millis(began.elapsed());
    let behind = scene.behind(&writes.map(|(subject, _)| subject), shown).await?;
    Ok(Hanging { hung_ms, told: told?, behind_ms: millis(behind), verdict: scene.end().await? })
}

/// Breaks a commit in every way, each on another row.
///
/// # Errors
/// When a server does not come up, or no commit passes the pooler.
pub async fn break_all() -> anyhow::Result<Broken> {
    let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
    let pooler = Pooler::start(postgres.port()).await?;
    let (direct, through) = (postgres.url(), pooler.url());
    let adapt = |config: String| config.replace(&direct, &through);
    let mut scene = Scene::set_over(postgres, &vec![redis.url(); HOSTS], adapt).await?;
    scene.fill().await?;
    let mut commits = Vec::new();
    for (nth, (subject, ending, passing)) in FAULTS.into_iter().enumerate() {
        let fault = Fault { ending, passing };
        let way = if nth % 2 == 0 { Way::Invalidate } else { Way::Through };
        pooler.break_commit(fault);
        let told = scene.desk.write(WRITER, subject, way).await?;
        ensure!(pooler.broken() == nth + 1, "no commit of {subject} passed the pooler");
        commits.push((fault, subject, told));
    }
    sleep(LATE + SEEN_WITHIN).await;
    let mut report = Vec::new();
    for (fault, subject, told) in commits {
        let wrong = scene.wrong(fault, subject, &told).await?;
        let written = rows::version(&scene.postgres, subject).await? > 1;
        let (fault, told) = (format!("{fault:?}"), format!("{told:?}"));
        report.push(Commit { fault, told, written, wrong });
    }
    scene.fill().await?;
    Ok(Broken { commits: report, verdict: scene.end().await? })
}

/// Which commit is broken how. A team's commit makes its items untrue as well, so the items of the
/// team here, 0 and 4, are items whose commits never reach the database.
const FAULTS: [(Subject, Ending, Passing); 9] = [
    (Subject::Item(0), Ending::Fatal, Passing::Never),
    (Subject::Item(1), Ending::Fatal, Passing::Before),
    (Subject::Item(2), Ending::Fatal, Passing::Later(LATE)),
    (Subject::Item(3), Ending::Panic, Passing::Before),
    (Subject::Item(4), Ending::Panic, Passing::Never),
    (Subject::Item(5), Ending::Panic, Passing::Later(LATE)),
    (Subject::Item(6), Ending::Cut, Passing::Before),
    (Subject::Item(7), Ending::Cut, Passing::Never),
    (Subject::Team(0), Ending::Cut, Passing::Later(LATE)),
];

impl Scene {
    /// Waits until the database shows the second version of these rows.
    async fn until_shown(&self, subjects: &[Subject]) -> anyhow::Result<Instant> {
        for subject in subjects {
            eventually("a commit is shown", SOON, || async {
                let version = rows::version(&self.postgres, *subject).await?;
                Ok((version >= 2).then_some(()))
            })
            .await?;
        }
        Ok(Instant::now())
    }

    /// How long after `shown` an older version was answered, watched for a while longer than that
    /// may be.
    async fn behind(&self, subjects: &[Subject], shown: Instant) -> anyhow::Result<Duration> {
        let mut behind = Duration::ZERO;
        while shown.elapsed() < SEEN_WITHIN + STAYS {
            for host in 0..HOSTS {
                for subject in subjects {
                    let asked = shown.elapsed();
                    let seen = self.desk.read(host, Read::Row(*subject)).await?;
                    if seen.is_some_and(|seen| seen.version < 2) {
                        behind = asked;
                    }
                }
            }
        }
        Ok(behind)
    }

    /// What is wrong with a host's answer for a row whose commit was broken, and with what the
    /// writer was told. Empty if nothing is.
    async fn wrong(&self, fault: Fault, subject: Subject, told: &Told) -> anyhow::Result<String> {
        let truth = rows::version(&self.postgres, subject).await?;
        // The database may have ended the transaction before a late commit arrives.
        let possible = match fault.passing {
            Passing::Never => 1..=1,
            Passing::Before => 2..=2,
            Passing::Later(_) => 1..=2,
        };
        ensure!(possible.contains(&truth), "{fault:?}: the database has version {truth}");
        if truth == 1 && !matches!(told, Told::Unknown(_)) {
            return Ok("a write that was not written is acknowledged".to_owned());
        }
        for host in 0..HOSTS {
            let seen = self.desk.read(host, Read::Row(subject)).await?;
            if seen.is_none_or(|seen| seen.version != truth) {
                return Ok(format!("host {host} answers {seen:?}, not version {truth}"));
            }
        }
        Ok(String::new())
    }
}

impl Hanging {
    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// As [`Verdict::expect`], and when an older version was answered for too long.
    pub fn expect(&self) -> anyhow::Result<()> {
        self.verdict.expect()?;
        let most_ms = millis(SEEN_WITHIN);
        ensure!(self.behind_ms <= most_ms, "seen too late, or never: {self:#?}");
        Ok(())
    }
}

impl Broken {
    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// As [`Verdict::expect`], and when anything is wrong with a commit.
    pub fn expect(&self) -> anyhow::Result<()> {
        let wrong: Vec<_> = self.commits.iter().filter(|one| !one.wrong.is_empty()).collect();
        ensure!(wrong.is_empty(), "{wrong:#?}");
        let late = |one: &&Commit| one.fault.contains("Later") && one.written;
        ensure!(self.commits.iter().any(|one| late(&one)), "no late commit came: {self:#?}");
        self.verdict.expect()
    }
}
