//! A cluster whose nodes do not reach each other.

use anyhow::Context as _;

use super::{Cluster, number};
use crate::forwarder::{Crossing, Direction, End, Road, Way};

impl Cluster {
    /// Keeps these nodes and the others apart, as if the network between them were gone. Clients reach both
    /// sides. Only for a cluster that was started as a divisible one.
    ///
    /// # Errors
    /// When the cluster can't be divided.
    pub fn divide(&self, apart: &[usize]) -> anyhow::Result<()> {
        let crossing = self.crossing()?;
        for from in 0..self.count() {
            for to in 0..self.count() {
                if apart.contains(&from) != apart.contains(&to) {
                    let (from, to) = (End::Node(number(from)?), number(to)?);
                    for road in [Road::Commands, Road::Bus] {
                        hold(crossing, from, to, road, true);
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets clients reach a node, or not: what they send is kept back, and so are its answers.
    ///
    /// # Errors
    /// When the cluster can't be divided.
    pub fn cut_off(&self, index: usize, cut_off: bool) -> anyhow::Result<()> {
        hold(self.crossing()?, End::Client, number(index)?, Road::Commands, cut_off);
        Ok(())
    }

    /// Keeps back what a replica's primary sends it, or lets it pass again. The nodes still hear of each other.
    ///
    /// # Errors
    /// When the cluster can't be divided.
    pub fn withhold_replication(&self, replica: usize, withhold: bool) -> anyhow::Result<()> {
        let (crossing, from) = (self.crossing()?, End::Node(number(replica)?));
        for primary in 0..self.count() {
            let (to, road, direction) = (number(primary)?, Road::Commands, Direction::Down);
            crossing.hold(Way { from, to, road, direction }, withhold);
        }
        Ok(())
    }

    /// Lets everything pass again.
    ///
    /// # Errors
    /// When the cluster can't be divided.
    pub fn unite(&self) -> anyhow::Result<()> {
        self.crossing()?.release();
        Ok(())
    }

    fn crossing(&self) -> anyhow::Result<&Crossing> {
        self.crossing.as_ref().context("the cluster was not started as a divisible one")
    }
}

fn hold(crossing: &Crossing, from: End, to: u8, road: Road, hold: bool) {
    for direction in [Direction::Up, Direction::Down] {
        crossing.hold(Way { from, to, road, direction }, hold);
    }
}
