//! Which file a connection leads to.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Sqlite, SqliteConnection};

use crate::origin::identity::ServerIdentity;
use crate::origin::pool::Identify;
use crate::origin::{OriginError, OriginIdentity};

impl Identify for Sqlite {
    type Door = SqliteConnectOptions;

    /// The inode number of a removed file is given to another file, so the time of its creation
    /// counts too, where the file system keeps it.
    fn place(options: &SqliteConnectOptions) -> Option<OriginIdentity> {
        let path = options.get_filename().canonicalize().ok()?;
        let file = path.metadata().ok()?;
        let created = file.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let created = created.map_or(0, |since| since.as_nanos());
        let (device, inode) = (file.dev().to_le_bytes(), file.ino().to_le_bytes());
        let parts = [path.as_os_str().as_bytes(), &device, &inode, &created.to_le_bytes()];
        Some(OriginIdentity::new("sqlite", &parts, 0))
    }

    async fn open(
        options: &SqliteConnectOptions,
    ) -> Result<(SqliteConnection, ServerIdentity), OriginError> {
        let opened = options.connect().await;
        let connection = opened.map_err(|error| OriginError::Unavailable(error.to_string()))?;
        Ok((connection, ServerIdentity { identity: Self::place(options), is_standby: false }))
    }
}
