//! The protections that can be switched off, to see whether the checker notices.

use clap::ValueEnum;

use super::climate::Climate;

/// A protection of the protocol. A simulation can run without one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protection {
    /// A fill is stored only under a lease.
    FillNeedsLease,
    /// An invalidation removes the lease with the value.
    InvalidationTakesLease,
    /// A fill whose lease is gone is rejected even if no other lease is held.
    MissingLeaseRejects,
    /// A fill compares its token with the lease's.
    FillComparesToken,
    /// A lease is renewed while its holder loads.
    LeasesAreRenewed,
    /// A release compares its token with the lease's.
    ReleaseComparesToken,
    /// A lease that is dropped is given back.
    DroppedLeasesAreGivenBack,
    /// A claim whose answer never came is given back, too.
    UnansweredClaimsAreGivenBack,
    /// A write-through revokes the lease that it takes over.
    TakeOverRevokes,
    /// A key stands in the index of its tags before it is loaded.
    IndexBeforeLoad,
    /// A key stays in the index of its tags for longer than its value can live.
    IndexesOutliveValues,
    /// A tag that was invalidated a short while ago makes a late member load again.
    MarkLoadsAgain,
    /// A mark outlives every load.
    MarksOutliveLoads,
    /// A claim looks whether a value has come meanwhile.
    ClaimLooksAgain,
    /// A store that is back is trusted only after the pending invalidations.
    PendingComesFirst,
    /// A refresh takes a lease like every other load.
    RefreshTakesLease,
    /// Invalidations name keys under the namings of every host.
    NamingsArePublished,
    /// A naming is filled only after others have learned of it.
    NewNamingsWait,
    /// A range that was emptied a moment ago is not taken for complete.
    EmptiedRangesAreIncomplete,
    /// A naming whose names can't be made has its floor raised.
    FloorsOfNamings,
    /// A near cache is told of every change of a value that it keeps.
    NearHearsOfChanges,
    /// A near cache is emptied when news of changes may have been lost.
    NearDropsOnABreak,
    /// A near cache does not keep an answer that the news of a change has overtaken.
    NearLooksBeforeItKeeps,
    /// Another host carries out what a dead host announced.
    IntentsAreCarriedOut,
    /// An intent is announced again while a commit lasts.
    IntentsAreAnnouncedAgain,
    /// A request that joins a flight late shares only an accepted fill.
    LateJoinersWait,
    /// A flight whose load failed looks again before it answers something stale.
    LooksAgainAfterFailure,
    /// Times in an envelope are the store's.
    StoreClock,
    /// A clock that was set back is followed.
    StepsAreFollowed,
    /// A value of another epoch is not believed.
    EpochsAreToldApart,
    /// A value's stamp is taken when its lease is granted.
    StampIsTheClaims,
    /// A new connection through the address confirms the node.
    AddressIsAskedAgain,
    /// A node with replicas is watched before it is used.
    NewNodesAreWatched,
    /// A node whose replica is silent is not trusted.
    SilentReplicasCount,
    /// Trust runs out while a host is frozen.
    ClockCountsPauses,
    /// A commit in doubt is waited for until it has ended, not for a guessed time.
    DoubtWaits,
    /// An intent is carried out only when its transaction has ended.
    IntentCarriesTransaction,
    /// A walk forgets a member only while its own mark is the newest, and with the score that it
    /// read. They are switched off together, since either of the two alone hides nearly every race.
    WalkCompares,
    /// A flush raises the floor of everything.
    FloorOfEverything,
    /// A request that joins a flight late shares its fill only while the fill's stamp is in force.
    LateJoinersCompareStamps,
    /// A near cache answers only while the stamp is in force.
    NearComparesStamps,
    /// A value answers only the read that it was loaded for.
    FingerprintsAreCompared,
}

impl Protection {
    /// All protections.
    #[must_use]
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// The letter of the race that it closes; `-` if that race has no letter.
    #[must_use]
    pub fn race(self) -> char {
        match self {
            Self::FillNeedsLease | Self::InvalidationTakesLease => 'A',
            Self::MissingLeaseRejects => 'B',
            Self::FillComparesToken | Self::LeasesAreRenewed => 'C',
            Self::ReleaseComparesToken
            | Self::DroppedLeasesAreGivenBack
            | Self::UnansweredClaimsAreGivenBack => 'D',
            Self::TakeOverRevokes => 'E',
            Self::IndexBeforeLoad
            | Self::IndexesOutliveValues
            | Self::MarkLoadsAgain
            | Self::MarksOutliveLoads => 'F',
            Self::ClaimLooksAgain => 'G',
            Self::PendingComesFirst => 'H',
            Self::RefreshTakesLease => 'I',
            Self::NamingsArePublished
            | Self::NewNamingsWait
            | Self::EmptiedRangesAreIncomplete
            | Self::FloorsOfNamings => 'J',
            Self::NearHearsOfChanges | Self::NearDropsOnABreak | Self::NearLooksBeforeItKeeps => {
                'K'
            }
            Self::IntentsAreCarriedOut | Self::IntentsAreAnnouncedAgain => 'L',
            Self::LateJoinersWait | Self::LooksAgainAfterFailure => 'M',
            Self::StoreClock | Self::StepsAreFollowed => 'N',
            Self::EpochsAreToldApart
            | Self::StampIsTheClaims
            | Self::AddressIsAskedAgain
            | Self::NewNodesAreWatched
            | Self::SilentReplicasCount
            | Self::ClockCountsPauses => 'O',
            Self::DoubtWaits | Self::IntentCarriesTransaction => 'P',
            Self::WalkCompares => 'Q',
            Self::FloorOfEverything | Self::LateJoinersCompareStamps | Self::NearComparesStamps => {
                'V'
            }
            Self::FingerprintsAreCompared => '-',
        }
    }

    /// Whether a schedule has the fault that it protects from. Otherwise switching it off changes
    /// nothing.
    pub(super) fn matters_in(self, climate: &Climate) -> bool {
        let is_replaced = climate.restarts || climate.failovers;
        match self {
            Self::NearHearsOfChanges | Self::NearDropsOnABreak | Self::NearLooksBeforeItKeeps => {
                !climate.near.is_zero()
            }
            Self::NamingsArePublished | Self::NewNamingsWait | Self::FloorsOfNamings => {
                climate.swaps || climate.configurations
            }
            Self::EmptiedRangesAreIncomplete => {
                climate.configurations && (climate.evictions || climate.emptied)
            }
            Self::IntentsAreAnnouncedAgain => !climate.slow_commit.is_zero(),
            Self::DoubtWaits | Self::IntentCarriesTransaction => {
                !climate.anonymous && (climate.origin_faults || !climate.slow_commit.is_zero())
            }
            Self::StepsAreFollowed => climate.steps,
            Self::EpochsAreToldApart | Self::StampIsTheClaims => is_replaced,
            Self::AddressIsAskedAgain | Self::NewNodesAreWatched | Self::SilentReplicasCount => {
                climate.failovers
            }
            Self::ClockCountsPauses => climate.pauses,
            Self::FloorOfEverything | Self::LateJoinersCompareStamps => climate.flushes,
            Self::NearComparesStamps => climate.flushes && !climate.near.is_zero(),
            Self::FingerprintsAreCompared => climate.collides,
            Self::FillNeedsLease
            | Self::InvalidationTakesLease
            | Self::MissingLeaseRejects
            | Self::FillComparesToken
            | Self::LeasesAreRenewed
            | Self::ReleaseComparesToken
            | Self::DroppedLeasesAreGivenBack
            | Self::UnansweredClaimsAreGivenBack
            | Self::TakeOverRevokes
            | Self::IndexBeforeLoad
            | Self::IndexesOutliveValues
            | Self::MarkLoadsAgain
            | Self::MarksOutliveLoads
            | Self::ClaimLooksAgain
            | Self::PendingComesFirst
            | Self::RefreshTakesLease
            | Self::IntentsAreCarriedOut
            | Self::LateJoinersWait
            | Self::LooksAgainAfterFailure
            | Self::StoreClock
            | Self::WalkCompares => true,
        }
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
