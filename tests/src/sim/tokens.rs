//! The fate of every lease's token, to tell a lease that its holder gave back, and a lease that ran
//! out although its host held it.

use std::collections::HashMap;

use corral_host::store::LeaseToken;

/// The fates of tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens(HashMap<LeaseToken, Fate>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The store carried out a claim with it.
    Granted,
    /// Its host was told of the grant.
    Held,
    /// Its host spent it or gave it back.
    Ended,
    /// The store answered that it was given back, after it had been granted.
    GivenBack,
}

impl Tokens {
    pub(super) fn granted(&mut self, token: LeaseToken) {
        self.0.insert(token, Fate::Granted);
    }

    pub(super) fn held(&mut self, token: LeaseToken) {
        let fate = self.0.entry(token).or_insert(Fate::Held);
        if *fate == Fate::Granted {
            *fate = Fate::Held;
        }
    }

    pub(super) fn ended(&mut self, token: LeaseToken) {
        if let Some(fate) = self.0.get_mut(&token) {
            *fate = Fate::Ended;
        }
    }

    pub(super) fn given_back(&mut self, token: LeaseToken) {
        if let Some(fate) = self.0.get_mut(&token) {
            *fate = Fate::GivenBack;
        }
    }

    /// Whether its host holds the lease.
    pub(super) fn is_held(&self, token: LeaseToken) -> bool {
        self.0.get(&token) == Some(&Fate::Held)
    }

    /// Whether the store answered that the lease was given back.
    pub(super) fn is_given_back(&self, token: LeaseToken) -> bool {
        self.0.get(&token) == Some(&Fate::GivenBack)
    }
}
