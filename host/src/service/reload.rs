//! Reload: puts another configuration in place of the one in force, in one step or not at all.
//!
//! The policy and the entities that it decides about change together: the policy is told of the new entities,
//! so it passes the gate again, as do the policies that a rollback would bring back. Whatever fails, fails
//! before anything has changed. Then the new names are published (race J), and one pointer moves. Requests in
//! progress keep their edition, and with it the generation that knows its entities.

use std::sync::Arc;
use std::time::Instant;

use crate::config::{Config, ConfigErrors, HttpConfig, OriginConfig, PolicyConfig, Secret};
use crate::origin::is_same_origin;
use crate::policy::watch;

use super::edition::Edition;
use super::{Corral, CorralInner, InstallError, StartError, is_shared};

/// What a reload did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// The file's configuration differs, and is in force now.
    Changed,
    /// The file's configuration is in force already.
    Same,
}

/// Why a configuration did not come into force. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration in force was read from no file.
    #[error("the configuration was read from no file")]
    NoFile,
    /// The configuration is wrong.
    #[error("{}", .0.problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(#[from] ConfigErrors),
    /// The configuration changes what is fixed when a host starts.
    #[error("{} needs a restart", .0.join(", "))]
    Restart(Vec<&'static str>),
    /// The database does not accept a statement.
    #[error("{0}")]
    Statement(String),
    /// The policy does not pass the gate under the configuration.
    #[error("the policy: {0}")]
    Policy(#[from] InstallError),
    /// Another policy came into force meanwhile.
    #[error("another policy came into force meanwhile; ask again")]
    Meanwhile,
}

impl Corral {
    /// Reads the configuration's file again and puts it in force.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let asked = Instant::now();
        let _one_at_a_time = self.inner.reloading.lock().await;
        let reloaded = self.read_again(asked).await;
        match &reloaded {
            Ok(Reloaded::Changed) => {
                let took_ms = asked.elapsed().as_millis();
                tracing::info!(took_ms, "the configuration was read again and is in force");
            }
            Ok(Reloaded::Same) => {
                tracing::info!("the configuration was read again: it is the same")
            }
            Err(error) => {
                tracing::warn!(%error, "the configuration was read again and is refused: nothing is taken from it");
            }
        }
        reloaded
    }

    async fn read_again(&self, asked: Instant) -> Result<Reloaded, ReloadError> {
        let before = self.config();
        let path = before.file.clone().ok_or(ReloadError::NoFile)?;
        let mut config = Config::load(&path)?;
        // The command fills `policy.cache` in where the file does not have it.
        config.policy.cache = config.policy.cache.or_else(|| before.policy.cache.clone());
        let fixed = fixed_at_start(&before, &config);
        if !fixed.is_empty() {
            return Err(ReloadError::Restart(fixed));
        }
        self.put_in_force(&before, config, asked).await
    }

    async fn put_in_force(
        &self,
        before: &Config,
        config: Config,
        asked: Instant,
    ) -> Result<Reloaded, ReloadError> {
        let policies = &self.inner.policies;
        let is_same_settings = policies.follows(&config.policy);
        if *before == config && is_same_settings {
            return Ok(Reloaded::Same);
        }
        if before.entities == config.entities && before.query == config.query {
            match is_same_settings {
                true => policies.note_file(&config.policy),
                false => policies.follow_settings(&config.policy, asked).await?,
            }
            let edition = self.inner.edition.load_full();
            self.inner.edition.store(Arc::new(edition.with(config)));
            return Ok(Reloaded::Changed);
        }
        self.look_at_statements(before, &config).await?;
        let told = policies.examine_under(&config, asked).await?;
        let lost = told.lost();
        self.inner.metrics.add_entities(config.entities.keys().map(String::as_str));
        let edition = Edition::of(config, self.inner.origin.as_ref());
        let (cache, joining) = (&self.inner.cache, edition.definitions());
        cache.welcome(&joining).await;
        let leaving = self.inner.edition.load().definitions();
        // In this order: requests of the edition that is left stay with the generation that knows it, and
        // requests of the next edition begin once the generation that knows that edition is in force.
        cache.leave_with(&leaving, told.examined());
        if policies.put_under(told).is_none() {
            cache.dismiss(&joining);
            self.renew(before);
            return Err(ReloadError::Meanwhile);
        }
        cache.share_loads(is_shared(edition.config()));
        self.inner
            .misfits
            .keep(|name| before.entities.get(name) == edition.config().entities.get(name));
        self.inner.misfits.mark(&edition);
        self.inner.edition.store(Arc::new(edition));
        cache.dismiss(&leaving);
        if lost > 0 {
            tracing::warn!(
                lost,
                "all stored values are made untrue: some were named by a policy that can't be \
                asked under this configuration"
            );
            self.flush().await;
        }
        Ok(Reloaded::Changed)
    }

    /// Replaces the edition in force by the same one with new definitions: its old definitions have been left
    /// with a last generation, and a reload did not succeed.
    fn renew(&self, config: &Config) {
        let edition = Edition::of(config.clone(), self.inner.origin.as_ref());
        let leaving = self.inner.edition.load().definitions();
        self.inner.cache.join(&edition.definitions());
        self.inner.misfits.mark(&edition);
        self.inner.edition.store(Arc::new(edition));
        self.inner.cache.dismiss(&leaving);
    }

    /// Follows the configuration's own file if `policy.watch` asks for it.
    pub(super) fn follow_configuration(&self) -> Result<(), StartError> {
        let config = self.config();
        let Some(path) = config.file.as_ref().filter(|_| config.policy.watch) else {
            return Ok(());
        };
        let (inner, runtime) = (Arc::downgrade(&self.inner), tokio::runtime::Handle::current());
        let watch = watch(path, move |change, _seen| {
            let Some(inner) = inner.upgrade() else { return };
            match change {
                // `reload` logs what is wrong.
                Ok(_read_again) => _ = runtime.block_on(Self { inner }.reload()),
                Err(error) => tracing::warn!(%error, "the configuration's file can't be followed"),
            }
        });
        let watch = watch.map_err(|error| StartError::Component {
            path: path.display().to_string(),
            error: error.to_string(),
        })?;
        if let Ok(mut watched) = self.inner.watched.lock() {
            *watched = Some(watch);
        }
        Ok(())
    }
}

impl Edition {
    /// This edition's entities under a configuration that does not change them.
    fn with(&self, config: Config) -> Self {
        let entities = self.entities.clone();
        let tags = super::tags::Templates::of(&config);
        Self { entities, query: Arc::clone(&self.query), tags, config: Arc::new(config) }
    }
}

/// Whether the origin is the same; user and password may differ.
fn is_same(old: &OriginConfig, new: &OriginConfig) -> bool {
    let OriginConfig { url, max_loads, max_writes, pooler } = new;
    leads_where(&old.url, url)
        && (old.max_loads, old.max_writes, old.pooler) == (*max_loads, *max_writes, *pooler)
}

fn leads_where(old: &Option<Secret>, new: &Option<Secret>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => is_same_origin(&old.0, &new.0),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The keys that differ among those that a host reads only when it starts.
fn fixed_at_start(old: &Config, new: &Config) -> Vec<&'static str> {
    // Each key is named here, so that a new one is not forgotten.
    let Config {
        file: _,
        listen,
        http,
        drain: _,
        grace: _,
        threads,
        admin,
        access: _,
        store,
        near,
        origin,
        policy,
        query,
        entities: _,
    } = new;
    let PolicyConfig { component, cache, watch, probation, allow_rename: _, settings: _, limits } =
        policy;
    let HttpConfig { idle, max_connections, hosts: _, cache_control: _ } = http;
    let uses_near = |config: &Config| config.entities.values().any(|e| !e.near.is_zero());
    let same = [
        ("listen", old.listen == *listen),
        ("idle", old.http.idle == *idle),
        ("max_connections", old.http.max_connections == *max_connections),
        ("threads", old.threads == *threads),
        ("admin.listen", old.admin.listen == admin.listen),
        ("[store]", old.store == *store),
        ("near.bytes", old.near == *near),
        ("near (no entity had it when the host started)", uses_near(old) || !uses_near(new)),
        ("[origin]", is_same(&old.origin, origin)),
        ("query.url", leads_where(&old.query.url, &query.url)),
        ("query.max_loads", old.query.max_loads == query.max_loads),
        ("policy.component", old.policy.component == *component),
        ("policy.cache", old.policy.cache == *cache),
        ("policy.watch", old.policy.watch == *watch),
        ("policy.probation", old.policy.probation == *probation),
        ("[policy.limits]", old.policy.limits == *limits),
    ];
    same.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

impl CorralInner {
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.edition.load().config)
    }
}
