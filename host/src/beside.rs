//! A place for what a face, such as HTTP, makes once of something that it answers again and again.

use std::any::Any;
use std::sync::OnceLock;

/// A place beside an answer for what the first face that sends the answer makes of it, for example
/// the value of a header. The answer itself knows nothing of faces.
#[derive(Debug, Default)]
pub struct Beside(OnceLock<Box<dyn Any + Send + Sync>>);

impl Beside {
    /// What was made here first, or is made now; `None` if it has another type.
    pub fn get_or_make<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.0.get_or_init(|| Box::new(make())).downcast_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_another_type_finds_no_place() {
        let beside = Beside::default();
        assert_eq!(beside.get_or_make(|| 7_u32), Some(&7));
        assert_eq!(beside.get_or_make(|| 8_u32), Some(&7));
        assert_eq!(beside.get_or_make(|| "text"), None);
    }
}
