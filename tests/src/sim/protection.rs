//! What can be switched off, to see whether the checker notices.

use clap::ValueEnum;

/// A protection of the protocol. In a simulation one of them may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protection {
    /// A fill is stored only under a lease.
    FillNeedsLease,
    /// An invalidation removes the lease with the value.
    InvalidationTakesLease,
    /// A fill whose lease is gone is rejected, also when nobody else holds one.
    MissingLeaseRejects,
    /// A fill compares its token with the lease's.
    FillComparesToken,
    /// A release compares its token with the lease's.
    ReleaseComparesToken,
    /// A write-through revokes the lease that it takes over.
    TakeOverRevokes,
    /// A key stands in the index of its tags before it is loaded.
    IndexBeforeLoad,
    /// A tag that was invalidated a short while ago makes a late member load again.
    MarkLoadsAgain,
    /// A claim looks whether the value has come meanwhile.
    ClaimLooksAgain,
    /// A store that is back is trusted only after the pending invalidations.
    PendingComesFirst,
    /// A refresh takes a lease like every other load.
    RefreshTakesLease,
    /// After a swap, invalidations name keys under both generations.
    BothGenerationsNamed,
    /// A near cache hears of every change under what it keeps.
    NearHearsOfChanges,
    /// A near cache is emptied when word of changes may have been lost.
    NearDropsOnABreak,
    /// A near cache keeps no answer that word of a change has overtaken.
    NearLooksBeforeItKeeps,
    /// Another host carries out what a dead one announced.
    IntentsAreCarriedOut,
    /// Who joins a flight late shares only an accepted fill.
    LateJoinersWait,
    /// Times in an envelope are the store's.
    StoreClock,
}

impl Protection {
    /// All of them.
    #[must_use]
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// The race of the protocol that it closes.
    #[must_use]
    pub fn race(self) -> char {
        match self {
            Self::FillNeedsLease | Self::InvalidationTakesLease => 'A',
            Self::MissingLeaseRejects => 'B',
            Self::FillComparesToken => 'C',
            Self::ReleaseComparesToken => 'D',
            Self::TakeOverRevokes => 'E',
            Self::IndexBeforeLoad | Self::MarkLoadsAgain => 'F',
            Self::ClaimLooksAgain => 'G',
            Self::PendingComesFirst => 'H',
            Self::RefreshTakesLease => 'I',
            Self::BothGenerationsNamed => 'J',
            Self::NearHearsOfChanges | Self::NearDropsOnABreak | Self::NearLooksBeforeItKeeps => {
                'K'
            }
            Self::IntentsAreCarriedOut => 'L',
            Self::LateJoinersWait => 'M',
            Self::StoreClock => 'N',
        }
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
