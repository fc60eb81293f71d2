//! The disturbances, and how each is made on real servers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::Stage;

/// A disturbance.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Store(StoreFault),
    Origin(OriginFault),
    HostDies,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum StoreFault {
    /// The store accepts connections and never answers.
    Freezes,
    /// The store's answers come after the budget, again and again.
    AnswersLate,
    /// The store is killed, and comes back empty.
    Dies,
    IsFlushed,
    ScriptsAreFlushed,
    /// The store takes no more memory.
    IsFull,
    /// The store loses values and leases.
    Evicts,
    HangsUp,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum OriginFault {
    Freezes,
    Dies,
    HangsUp,
    CancelsStatements,
    HasNoConnectionsLeft,
}

pub(super) const FAULTS: [Fault; 14] = [
    Fault::Store(StoreFault::Freezes),
    Fault::Store(StoreFault::AnswersLate),
    Fault::Store(StoreFault::Dies),
    Fault::Store(StoreFault::IsFlushed),
    Fault::Store(StoreFault::ScriptsAreFlushed),
    Fault::Store(StoreFault::IsFull),
    Fault::Store(StoreFault::Evicts),
    Fault::Store(StoreFault::HangsUp),
    Fault::Origin(OriginFault::Freezes),
    Fault::Origin(OriginFault::Dies),
    Fault::Origin(OriginFault::HangsUp),
    Fault::Origin(OriginFault::CancelsStatements),
    Fault::Origin(OriginFault::HasNoConnectionsLeft),
    Fault::HostDies,
];

/// Longer than the store's budget of 50 ms, and soon over.
const LATE: Duration = Duration::from_millis(70);
const IN_TIME: Duration = Duration::from_millis(40);

/// Every session except the one that asks.
const OTHERS: &str = "FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";

impl Stage {
    /// Disturbs something for about so long, and ends the disturbance.
    pub(super) async fn strike(
        &mut self,
        fault: Fault,
        host: usize,
        lasts: Duration,
    ) -> anyhow::Result<()> {
        match fault {
            Fault::Store(fault) => self.disturb_store(fault, lasts).await,
            Fault::Origin(fault) => {
                let window = self.shared.origin.open();
                let disturbed = self.disturb_origin(fault, lasts).await;
                self.shared.origin.close(window);
                disturbed
            }
            Fault::HostDies => self.kill(host, lasts).await,
        }
    }

    async fn disturb_store(&mut self, fault: StoreFault, lasts: Duration) -> anyhow::Result<()> {
        match fault {
            StoreFault::Freezes => {
                self.redis.stop()?;
                sleep(lasts).await;
                self.redis.cont()?;
            }
            StoreFault::AnswersLate => {
                for _ in 0..5 {
                    self.redis.stop()?;
                    sleep(LATE).await;
                    self.redis.cont()?;
                    sleep(IN_TIME).await;
                }
            }
            StoreFault::Dies => {
                self.redis.kill();
                sleep(lasts).await;
                self.redis.restart_empty().await?;
            }
            StoreFault::IsFlushed => self.say(&["FLUSHALL"]).await?,
            StoreFault::ScriptsAreFlushed => self.say(&["SCRIPT", "FLUSH"]).await?,
            StoreFault::IsFull => {
                self.say(&["CONFIG", "SET", "maxmemory", "1"]).await?;
                sleep(lasts).await;
                self.say(&["CONFIG", "SET", "maxmemory", "0"]).await?;
            }
            StoreFault::Evicts => {
                for key in self.redis.keys("*item:*").await? {
                    if key.contains(":v1:item:") && !key.starts_with("corral:1:waiters:") {
                        self.say(&["DEL", &key]).await?;
                    }
                }
            }
            StoreFault::HangsUp => self.say(&["CLIENT", "KILL", "TYPE", "normal"]).await?,
        }
        Ok(())
    }

    async fn disturb_origin(&mut self, fault: OriginFault, lasts: Duration) -> anyhow::Result<()> {
        match fault {
            OriginFault::Freezes => {
                self.postgres.stop()?;
                sleep(lasts).await;
                self.postgres.cont()?;
            }
            OriginFault::Dies => {
                self.postgres.kill().await?;
                sleep(lasts).await;
                self.postgres.restart().await?;
            }
            OriginFault::HangsUp => {
                let end = format!("SELECT count(pg_terminate_backend(pid)) {OTHERS}");
                self.postgres.psql(&end).await?;
            }
            OriginFault::CancelsStatements => {
                let cancel = format!("SELECT count(pg_cancel_backend(pid)) {OTHERS}");
                for _ in 0..10 {
                    self.postgres.psql(&cancel).await?;
                    sleep(lasts / 10).await;
                }
            }
            OriginFault::HasNoConnectionsLeft => {
                let mut taken = Vec::new();
                while let Ok(connection) = self.postgres.connect().await {
                    taken.push(connection);
                }
                sleep(lasts).await;
            }
        }
        Ok(())
    }

    async fn kill(&mut self, host: usize, away: Duration) -> anyhow::Result<()> {
        let seat = &self.shared.seats[host];
        let window = seat.away.open();
        self.hosts[host].kill();
        self.shared.ledger.crashed(host, seat.life.load(Ordering::SeqCst));
        sleep(away).await;
        let life = self.shared.lives.fetch_add(1, Ordering::SeqCst);
        seat.life.store(life, Ordering::SeqCst);
        self.hosts[host].restart().await?;
        seat.away.close(window);
        Ok(())
    }

    async fn say(&self, words: &[&str]) -> anyhow::Result<()> {
        let mut connection = self.redis.connect().await?;
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(*word);
        });
        // A server that ends all connections may end the one with this command too.
        let _: Result<redis::Value, _> = command.query_async(&mut connection).await;
        Ok(())
    }
}
