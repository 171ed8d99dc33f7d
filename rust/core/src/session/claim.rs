//! Those who have a stake in something that is shared: each holds a claim, which ends with it, however it ends.

use std::sync::Arc;

/// A claim. Those of the same thing are clones of each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim(Arc<()>);

impl Claim {
    /// Returns how many others there are to the same thing.
    pub(super) fn others(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    /// Returns whether both are to the same thing.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
