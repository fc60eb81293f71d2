//! One module for each command of `corral-tests`.

pub(crate) mod growth;
pub(crate) mod peers;
pub(crate) mod replay;
pub(crate) mod scenario;
pub(crate) mod simulate;
