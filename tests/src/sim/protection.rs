//! What can be switched off, to see whether the checker notices.

use clap::ValueEnum;

use super::climate::Climate;

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
    /// A mark lives longer than any load.
    MarksOutliveLoads,
    /// A claim looks whether the value has come meanwhile.
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
    /// Where a naming's names can't be made, its floor is raised.
    FloorsOfNamings,
    /// A near cache hears of every change under what it keeps.
    NearHearsOfChanges,
    /// A near cache is emptied when word of changes may have been lost.
    NearDropsOnABreak,
    /// A near cache keeps no answer that word of a change has overtaken.
    NearLooksBeforeItKeeps,
    /// Another host carries out what a dead one announced.
    IntentsAreCarriedOut,
    /// An intent is announced again while a commit lasts.
    IntentsAreAnnouncedAgain,
    /// Who joins a flight late shares only an accepted fill.
    LateJoinersWait,
    /// A flight whose load failed looks again before it answers something stale.
    LooksAgainAfterFailure,
    /// Times in an envelope are the store's.
    StoreClock,
    /// A clock that was set back is followed.
    StepsAreFollowed,
    /// A value of another epoch is not believed.
    EpochsAreToldApart,
    /// A value is stamped with what was in force when its lease was granted.
    StampIsTheClaims,
    /// A new connection through the address confirms the node.
    AddressIsAskedAgain,
    /// A node with replicas is watched before it is used.
    NewNodesAreWatched,
    /// A node whose replica is silent is not trusted.
    SilentReplicasCount,
    /// Trust runs out while a host is frozen.
    ClockCountsPauses,
    /// A commit in doubt is waited for until it has ended, not for a guess of how long it takes.
    DoubtWaits,
    /// An intent is carried out only when its transaction has ended.
    IntentCarriesTransaction,
    /// A walker forgets a member only while its own mark is the newest, and with the score that it read:
    /// either of the two alone hides nearly every race.
    WalkCompares,
    /// A flush raises the floor of everything.
    FloorOfEverything,
    /// Who joins a flight late shares its fill only while its stamp is in force.
    LateJoinersCompareStamps,
    /// A near cache answers only while the stamp is in force.
    NearComparesStamps,
    /// A value answers only the read that it was loaded for.
    FingerprintsAreCompared,
}

impl Protection {
    /// All of them.
    #[must_use]
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// The race of the protocol that it closes; `-`: none that has a letter.
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

    /// Whether a schedule has the trouble that it protects from: without that nothing is missing.
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
