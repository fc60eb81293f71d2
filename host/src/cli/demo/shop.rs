//! The shop that the demo reads: users, products, orders, and a report over all orders.

use anyhow::{Context, anyhow};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::config::{Config, Environment, Secret};

/// Orders in the shop: a report over all of them takes tens of milliseconds.
const ORDERS: u32 = 200_000;
pub(super) const USERS: u32 = 10_000;
pub(super) const PRODUCTS: u32 = 2_000;

/// How long the report is fresh: short, since the demo waits for its end.
const REPORT_TTL_MS: u32 = 400;

/// Where the shop is.
pub(super) struct Shop {
    url: Secret,
    /// `corral_demo_….` in Postgres, empty in SQLite.
    prefix: String,
    /// A random one, so that a shared store holds nothing of an earlier demo's shop under it.
    namespace: String,
    /// The SQLite file's folder; removed with this value.
    _folder: Option<TempDir>,
}

impl Shop {
    pub(super) fn kind(&self) -> &'static str {
        if self.prefix.is_empty() { "SQLite" } else { "Postgres" }
    }

    pub(super) fn choose(url: Option<&str>) -> anyhow::Result<Self> {
        let random: u64 = rand::random();
        let namespace = format!("demo-{random:016x}");
        match url {
            Some(url) if url.starts_with("sqlite:") => {
                Err(anyhow!("--origin takes a Postgres; without it the demo brings its own SQLite"))
            }
            Some(url) => {
                let prefix = format!("corral_demo_{random:016x}.");
                Ok(Self { url: Secret(url.to_owned()), prefix, namespace, _folder: None })
            }
            None => {
                let folder = TempDir::with_prefix("corral-demo-").context("a temporary folder")?;
                let file = folder.path().join("shop.db");
                // An origin is never created by opening it: a mistyped path would be an empty shop.
                std::fs::File::create(&file).context("the shop's file")?;
                let url = format!("sqlite:{}", file.display());
                let (prefix, folder) = (String::new(), Some(folder));
                Ok(Self { url: Secret(url), prefix, namespace, _folder: folder })
            }
        }
    }

    /// The configuration as a user would write it.
    pub(super) fn config(&self, store: Option<Secret>) -> anyhow::Result<Config> {
        let Self { prefix: t, namespace, .. } = self;
        let text = format!(
            r#"
[policy.settings]
namespace = "{namespace}"

[query]
enabled = false

[entity."product.page"]
params = ["id:int8"]
read = "SELECT id, name, price_cents FROM {t}products WHERE id = $1"
ttl = "5m"
tags = ["product:{{id}}", "catalogue"]

[entity."user.profile"]
params = ["id:int8"]
read = "SELECT id, name, role FROM {t}users WHERE id = $1"
ttl = "5m"
tags = ["user:{{id}}"]

[entity."user.profile".write.rename]
params = ["id:int8", "name:text"]
sql = "UPDATE {t}users SET name = $2 WHERE id = $1"
touches = ["user.profile(id)", "tag user:{{id}}"]

[entity."report.revenue"]
rows = "many"
read = """SELECT product_id % 10 AS category, count(*) AS orders, sum(amount_cents) AS revenue_cents
          FROM {t}orders GROUP BY 1 ORDER BY 3 DESC"""
ttl = "{REPORT_TTL_MS}ms"
deadline = "10s"
"#
        );
        let mut config = Config::parse(
            &text,
            "demo.toml",
            &[("CORRAL_ORIGIN_URL", self.url.0.clone())].into_iter().collect::<Environment>(),
        )
        .map_err(|errors| anyhow!("{errors}"))?;
        config.store.url = store;
        Ok(config)
    }

    pub(super) async fn seed(&self) -> anyhow::Result<()> {
        let t = &self.prefix;
        let rows = |many: u32| {
            format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})"
            )
        };
        let schema = t.strip_suffix('.').map(|schema| format!("CREATE SCHEMA {schema}"));
        let statements = schema.into_iter().chain([
            format!("CREATE TABLE {t}users (id BIGINT PRIMARY KEY, name TEXT, role TEXT)"),
            format!("CREATE TABLE {t}products (id BIGINT PRIMARY KEY, name TEXT, price_cents BIGINT)"),
            format!("CREATE TABLE {t}orders (id BIGINT PRIMARY KEY, product_id BIGINT, amount_cents BIGINT)"),
            format!(
                "INSERT INTO {t}users {} SELECT i, 'user ' || i, \
                 CASE WHEN i % 100 = 0 THEN 'admin' ELSE 'customer' END FROM n",
                rows(USERS)
            ),
            format!(
                "INSERT INTO {t}products {} SELECT i, 'product ' || i, 100 + (i * 37) % 9900 FROM n",
                rows(PRODUCTS)
            ),
            format!(
                "INSERT INTO {t}orders {} SELECT i, 1 + (i * 31) % {PRODUCTS}, \
                 100 + (i * 37) % 9900 FROM n",
                rows(ORDERS)
            ),
        ]);
        self.run(&statements.collect::<Vec<_>>().join(";\n")).await.context("seeding the shop")
    }

    /// Removes what [`Shop::seed`] made.
    pub(super) async fn remove(&self) -> anyhow::Result<()> {
        match self.prefix.strip_suffix('.') {
            Some(schema) => self.run(&format!("DROP SCHEMA {schema} CASCADE")).await,
            None => Ok(()),
        }
    }

    async fn run(&self, sql: &str) -> anyhow::Result<()> {
        // Made of constants and of a schema name that this file made up.
        let script = sqlx::raw_sql(AssertSqlSafe(sql));
        if self.prefix.is_empty() {
            script.execute(&mut SqliteConnection::connect(&self.url.0).await?).await?;
        } else {
            script.execute(&mut PgConnection::connect(&self.url.0).await?).await?;
        }
        Ok(())
    }
}
