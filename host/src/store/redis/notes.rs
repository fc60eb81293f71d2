//! Notes that several hosts write.

use std::time::Duration;

use super::{RedisStore, lifetime_ms};
use crate::store::{Over, StoreError};

impl RedisStore {
    pub(super) async fn exchange_note(
        &self,
        of: &str,
        read: Option<&[u8]>,
        note: &[u8],
        lasts: Duration,
    ) -> Result<bool, StoreError> {
        let has_read = if read.is_some() { "1" } else { "0" };
        let (lasts, name) = (lifetime_ms(lasts), self.names.note(of));
        let args = [has_read.as_bytes(), read.unwrap_or_default(), note, lasts.as_bytes()];
        let replaced: Over<bool> = self.run(&self.scripts.replace, &[&name], &args).await?;
        Ok(replaced.answer)
    }
}
