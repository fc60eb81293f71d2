//! A shop with known content: made by SQL in Postgres, and computed again in Rust, so that every
//! answer of a host can be checked in full.

use std::sync::Arc;

use anyhow::Context as _;
use corral_host::cache::Definition;
use corral_host::config::{Config, Environment};
use corral_host::store::{Name, Prefix, StoreKey};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// The status of an order, by its number modulo 4.
const STATUSES: [&str; 4] = ["paid", "sent", "returned", "open"];

const SCHEMA: &str = "
CREATE TABLE users (
    id bigint PRIMARY KEY, name text NOT NULL, email text NOT NULL, role text NOT NULL,
    team_id bigint NOT NULL);
CREATE TABLE orders (
    id bigint PRIMARY KEY, user_id bigint NOT NULL, total_cents bigint NOT NULL,
    status text NOT NULL, placed_at timestamptz NOT NULL);
CREATE TABLE products (
    id bigint PRIMARY KEY, name text NOT NULL, price_cents bigint NOT NULL,
    stock bigint NOT NULL, description text NOT NULL);
";

const USERS: &str = "
INSERT INTO users
SELECT id, 'User ' || id, 'user' || id || '@example.com',
       CASE WHEN id % 50 = 0 THEN 'admin' ELSE 'customer' END, id % 1000
FROM generate_series(1, $1::bigint) AS id";

const ORDERS: &str = "
INSERT INTO orders
SELECT id, 1 + (id - 1) % $2::bigint, 100 + id * 6151 % 50000,
       (ARRAY['paid', 'sent', 'returned', 'open'])[1 + id % 4],
       timestamptz '2024-01-01 00:00:00Z' + id * interval '1 second'
FROM generate_series(1, $1::bigint) AS id";

const PRODUCTS: &str = "
INSERT INTO products
SELECT id, 'Product ' || id, 100 + id * 7919 % 99900, id * 31 % 500,
       repeat('Plain words on product ' || id || '. ', (4 + id % 5)::int)
FROM unnest($1::bigint[]) AS id";

/// Entities over this schema: `product.page`, `user.profile`, `user.orders` and `report.slow`,
/// whose statement takes `ms` milliseconds.
pub const ENTITIES: &str = r#"
[entity."product.page"]
params = ["id:int8"]
read = "SELECT id, name, price_cents, stock, description FROM products WHERE id = $1"
rows = "one"
ttl = "1h"
stale_while_revalidate = "1m"
stale_if_error = "1h"
negative_ttl = "30s"
tags = ["product:{id}"]
deadline = "10s"

[entity."product.page".write.reprice]
params = ["id:int8", "price_cents:int8"]
sql = "UPDATE products SET price_cents = $2 WHERE id = $1"
then = "invalidate"
touches = ["product.page(id)"]

[entity."user.profile"]
params = ["id:int8"]
read = "SELECT id, name, email, role, team_id FROM users WHERE id = $1"
rows = "one"
ttl = "5m"
stale_while_revalidate = "1m"
stale_if_error = "1h"
negative_ttl = "30s"
tags = ["user:{id}", "team:{row.team_id}"]
deadline = "2s"

[entity."user.profile".write.rename]
params = ["id:int8", "name:text", "email:text"]
sql = "UPDATE users SET name = $2, email = $3 WHERE id = $1"
then = "invalidate"
touches = ["user.profile(id)", "tag user:{id}"]

[entity."user.orders"]
params = ["id:int8"]
read = "SELECT id, total_cents, status FROM orders WHERE user_id = $1 ORDER BY id"
rows = "many"
ttl = "5m"
stale_while_revalidate = "1m"
stale_if_error = "1h"
tags = ["user:{id}"]
deadline = "2s"

[entity."report.slow"]
params = ["id:int8", "ms:int8"]
read = "SELECT $1::bigint AS id, $2::bigint AS ms FROM pg_sleep($2::bigint / 1000.0)"
rows = "one"
ttl = "5m"
stale_if_error = "1h"
tags = ["reports"]
deadline = "10s"
"#;

/// How many rows of each kind the shop has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shop {
    /// Number of users; they are numbered from 1.
    pub users: u32,
    /// Number of orders; they are numbered from 1 and belong to the users in turn.
    pub orders: u32,
    /// The products that exist.
    pub products: Vec<u32>,
}

impl Shop {
    /// A small shop for tests of behaviour: made in a moment.
    #[must_use]
    pub fn small() -> Self {
        Self { users: 100, orders: 1_000, products: (1..=1_000).collect() }
    }

    /// The shop for published figures: 100,000 users, 1,000,000 orders, and these products.
    #[must_use]
    pub fn large(products: Vec<u32>) -> Self {
        Self { users: 100_000, orders: 1_000_000, products }
    }

    /// Makes the tables and fills them, in one transaction: new tables then cost no write-ahead
    /// log.
    ///
    /// # Errors
    /// Postgres's error, for example if a table exists already.
    pub async fn load(&self, postgres_url: &str) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(postgres_url).await?;
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
        let users = i64::from(self.users);
        sqlx::query(USERS).bind(users).execute(&mut *transaction).await?;
        let orders = sqlx::query(ORDERS).bind(i64::from(self.orders)).bind(users);
        orders.execute(&mut *transaction).await?;
        let products: Vec<i64> = self.products.iter().copied().map(i64::from).collect();
        sqlx::query(PRODUCTS).bind(products).execute(&mut *transaction).await?;
        let index = "CREATE INDEX orders_of_user ON orders (user_id)";
        sqlx::raw_sql(index).execute(&mut *transaction).await?;
        transaction.commit().await?;
        sqlx::raw_sql("ANALYZE").execute(&mut connection).await?;
        Ok(())
    }

    /// What `user.orders` must answer.
    #[must_use]
    pub fn expected_orders(&self, user: u32) -> Value {
        let step = usize::try_from(self.users.max(1)).unwrap_or(usize::MAX);
        (user..=self.orders).step_by(step).map(expected_order).collect()
    }
}

/// What `product.page` must answer, for a product that exists.
#[must_use]
pub fn expected_product(id: u32) -> Value {
    let id = u64::from(id);
    let words = format!("Plain words on product {id}. ");
    let description = words.repeat(4 + (id % 5) as usize);
    json!({
        "id": id,
        "name": format!("Product {id}"),
        "price_cents": 100 + id * 7919 % 99_900,
        "stock": id * 31 % 500,
        "description": description,
    })
}

/// What `user.profile` must answer, for a user that exists.
#[must_use]
pub fn expected_profile(id: u32) -> Value {
    json!({
        "id": id,
        "name": format!("User {id}"),
        "email": format!("user{id}@example.com"),
        "role": if id.is_multiple_of(50) { "admin" } else { "customer" },
        "team_id": id % 1000,
    })
}

fn expected_order(id: u32) -> Value {
    let id = u64::from(id);
    json!({
        "id": id,
        "total_cents": 100 + id * 6151 % 50_000,
        "status": STATUSES[(id % 4) as usize],
    })
}

/// A configuration of [`ENTITIES`] over these servers, for [`crate::servers::Host`]. Without a
/// store URL, the store is memory.
#[must_use]
pub fn config(store_url: Option<&str>, origin_url: &str) -> String {
    let store = store_url.map(|url| format!("[store]\nurl = \"{url}\"\n")).unwrap_or_default();
    format!("{store}[origin]\nurl = \"{origin_url}\"\n{ENTITIES}")
}

/// The name in the store of an entity's key.
///
/// # Errors
/// When there is no such entity.
pub fn name(entity: &str, key: &str) -> anyhow::Result<Name> {
    let text = config(None, "postgres://localhost/shop");
    let mut config = Config::parse(&text, "shop.toml", &Environment::default())?;
    let entity = config.entities.remove(entity).with_context(|| format!("no entity {entity}"))?;
    let definition = Definition::new(Arc::new(entity), &Prefix::default());
    Ok(Name::new(&Prefix::default(), definition.digest(), &StoreKey::try_new(key)?))
}

/// The statement of an entity, as [`ENTITIES`] has it.
///
/// # Errors
/// When there is no such entity.
pub fn statement(entity: &str) -> anyhow::Result<&'static str> {
    let (_, table) = ENTITIES
        .split_once(&format!("[entity.\"{entity}\"]"))
        .with_context(|| format!("no entity {entity}"))?;
    let (_, sql) = table.split_once("read = \"").context("every entity has a read")?;
    let (sql, _) = sql.split_once('"').context("every read ends")?;
    Ok(sql)
}

/// Asks Postgres for an entity's answer without any cache: a JSON array of rows.
///
/// # Errors
/// Postgres's error.
pub async fn ask_origin(postgres_url: &str, entity: &str, params: &[i64]) -> anyhow::Result<Value> {
    let sql = format!(
        "SELECT coalesce(json_agg(row_to_json(r)), '[]'::json)::text FROM ({}) AS r",
        statement(entity)?
    );
    let mut connection = PgConnection::connect(postgres_url).await?;
    let query = sqlx::query_scalar(AssertSqlSafe(sql));
    let query = params.iter().fold(query, |query, param| query.bind(*param));
    let rows: String = query.fetch_one(&mut connection).await?;
    Ok(serde_json::from_str(&rows)?)
}
