//! The address of a Postgres, `postgres://…`. An unknown option is an error, and no error repeats a
//! value, which may be a password.

use std::net::IpAddr;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use url::{Host, Url};

use super::lending::Setting;
use crate::origin::ConnectError;
use crate::origin::connect::invalid;

/// The options that an address may have, after its question mark.
const KNOWN: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

/// What `sslmode` can be. `allow` is left out: the driver takes it for `disable`.
const SSL_MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/// Where a database is, and the role that logs in there.
#[derive(Clone)]
pub(super) struct Address {
    options: PgConnectOptions,
    settings: Vec<Setting>,
    /// The role and its password, as the address has them.
    user: (String, Option<String>),
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with the address, without any of its values.
    pub(super) fn parse(text: &str) -> Result<Self, ConnectError> {
        let mut url = parsed(text).map_err(wrong)?;
        let (mut kept, mut settings) = (Vec::new(), Vec::new());
        for (key, value) in url.query_pairs() {
            match key.strip_prefix("options") {
                Some("") => settings.extend(switches(&value).map_err(wrong)?),
                Some(rest) if rest.starts_with('[') && rest.ends_with(']') => {
                    settings.push((rest[1..rest.len() - 1].to_owned(), value.into_owned()));
                }
                Some(_) | None => {
                    known(&key, &value).map_err(wrong)?;
                    kept.push((key.into_owned(), value.into_owned()));
                }
            }
        }
        url.query_pairs_mut().clear().extend_pairs(kept);
        let mut options = PgConnectOptions::from_url(&url).map_err(|e| invalid("postgres", &e))?;
        if options.get_options().is_some() {
            return Err(wrong(
                "PGOPTIONS is set in the environment, and not every server or pooler takes it: unset it, and \
                 write what it says into the URL, as options=…",
            ));
        }
        if let Some(bare) = bare_address(options.get_host()) {
            options = options.host(&bare);
        }
        if options.get_application_name().is_none() {
            options = options.application_name("corral");
        }
        let user = (options.get_username().to_owned(), password(&options));
        Ok(Self { options: options.disable_statement_logging(), settings, user })
    }

    /// Whether another address leads to the same database.
    pub(super) fn leads_where(&self, other: &Self) -> bool {
        let place = |of: &Self| {
            let options = &of.options;
            let database = options.get_database().map(str::to_owned);
            (
                options.get_host().to_owned(),
                options.get_port(),
                database,
                options.get_socket().cloned(),
            )
        };
        place(self) == place(other)
    }

    /// Whether both addresses log in as the same user with the same password.
    pub(super) fn is_asked_as(&self, other: &Self) -> bool {
        self.user == other.user
    }

    /// How to connect, without the settings.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// What the address sets in its sessions.
    pub(super) fn settings(&self) -> &[Setting] {
        &self.settings
    }
}

/// The password that is used, wherever the driver took it from. The driver shows the password only
/// in a URL, and can't write every user and place as a URL; so it is shown by a copy with a user
/// and a place that can be written.
fn password(options: &PgConnectOptions) -> Option<String> {
    let elsewhere = options.clone().username("anybody").socket("/anywhere").database("any");
    elsewhere.to_url_lossy().password().map(str::to_owned)
}

fn wrong(reason: impl Into<String>) -> ConnectError {
    ConnectError::Invalid { kind: "postgres", reason: reason.into() }
}

/// Parses the URL. The host may be left out, as libpq has it
/// (`postgres://app@/shop?host=/run/postgresql`), also behind a user.
fn parsed(text: &str) -> Result<Url, String> {
    let (scheme, rest) = text.split_once("://").ok_or("it is no URL")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let text = match authority.rsplit_once('@') {
        Some((user, "")) => format!("{scheme}://{user}@localhost{path}"),
        Some(_) | None => text.to_owned(),
    };
    let url = Url::parse(&text).map_err(|error| error.to_string())?;
    match url.host() {
        Some(Host::Domain(host)) if host.contains(',') => {
            Err("it names several hosts, and only one is supported".to_owned())
        }
        Some(_) | None => Ok(url),
    }
}

/// Whether an option is known, and its value one of those that it can have.
fn known(key: &str, value: &str) -> Result<(), String> {
    if !KNOWN.contains(&key) {
        let distance = |known: &&str| strsim::damerau_levenshtein(key, known);
        // Only libpq's spellings are suggested.
        let spelled = KNOWN.iter().filter(|known| !known.contains('-'));
        let closest = spelled.map(|known| (distance(known), known)).min();
        let closest = closest.filter(|(distance, known)| *distance <= known.len().div_ceil(3));
        return Err(match closest {
            Some((_, known)) => format!("the option `{key}` is unknown; did you mean `{known}`?"),
            None => format!("the option `{key}` is unknown; those known are {}", KNOWN.join(", ")),
        });
    }
    if matches!(key, "sslmode" | "ssl-mode") && !SSL_MODES.contains(&value) {
        return Err(format!("`{key}` is one of {}", SSL_MODES.join(", ")));
    }
    Ok(())
}

/// An IPv6 address without the brackets that it has in a URL.
fn bare_address(host: &str) -> Option<String> {
    let bare = host.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<IpAddr>().ok().map(|address| address.to_string())
}

/// The settings of `options=-c a=b --c=d`, read as Postgres reads them: blanks separate words, and
/// a character after a backslash belongs to its word.
fn switches(text: &str) -> Result<Vec<Setting>, String> {
    let mut settings = Vec::new();
    let mut words = words(text).into_iter();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(setting), _) => Some(setting.to_owned()),
            (None, Some("")) => words.next(),
            (None, Some(setting)) => Some(setting.to_owned()),
            (None, None) => None,
        };
        let setting = setting.as_deref().and_then(|setting| setting.split_once('='));
        let (name, value) =
            setting.ok_or("`options` may hold only settings: -c name=value, or --name=value")?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.get_or_insert_default().extend(characters.next()),
            space if space.is_ascii_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        Address::parse(url).err().unwrap().to_string()
    }

    #[test]
    fn an_option_that_nobody_knows_is_an_error_that_shows_no_value() {
        let misspelled = error("postgres://app@db/shop?pasword=hunter2");
        assert!(misspelled.contains("`pasword`") && misspelled.contains("`password`"));
        for url in [
            "postgres://app@db/shop?pasword=hunter2",
            "postgres://app@db/shop?ssl_mode=hunter2",
            "postgres://app@db/shop?sslmode=hunter2",
            "postgres://app@db/shop?port=hunter2",
            "postgres://app@db/shop?hostaddr=hunter2",
            "postgres://app@db/shop?statement-cache-capacity=hunter2",
            "postgres://app@db/shop?target_session_attrs=hunter2",
            "postgres://app@db/shop?options=hunter2",
            "postgres://app@db/shop?options=-c%20hunter2",
            "postgres://app@db/shop?options[a=hunter2",
            "postgres://app:hunter2@db:port/shop",
            "postgres://app:hunter2@one,two/shop",
            "postgres:app:hunter2",
        ] {
            let error = error(url);
            assert!(!error.contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn a_mode_of_encryption_is_spelled_right_or_an_error() {
        assert!(error("postgres://db/shop?ssl_mode=verify-full").contains("`sslmode`"));
        assert!(error("postgres://db/shop?sslmode=verify_full").contains("verify-full"));
        assert!(error("postgres://db/shop?sslmode=allow").contains("disable"));
        Address::parse("postgres://db/shop?sslmode=verify-full").unwrap();
    }

    #[test]
    fn an_ipv6_address_and_a_socket_lead_where_they_say() {
        let address = Address::parse("postgres://app@[::1]:6543/shop").unwrap();
        assert_eq!((address.options.get_host(), address.options.get_port()), ("::1", 6543));
        for url in ["postgres://app@/shop?host=/run/db", "postgres:///shop?host=/run/db&user=app"] {
            let options = Address::parse(url).unwrap().options;
            assert_eq!(options.get_socket().unwrap().to_str(), Some("/run/db"), "{url}");
            assert_eq!(options.get_username(), "app");
            assert_eq!(options.get_database(), Some("shop"));
        }
    }

    #[test]
    fn settings_are_read_in_every_form_that_postgres_knows() {
        let url = "postgres://db/shop?options=-c%20a=1%20-cb=2%20--c-d=x\\%20y&options[e]=5";
        let address = Address::parse(url).unwrap();
        let expected = [("a", "1"), ("b", "2"), ("c_d", "x y"), ("e", "5")];
        let settings: Vec<_> =
            address.settings().iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(settings, expected);
        assert_eq!(address.options().get_options(), None);
    }
}
