//! The order in which a loader visits items: a pure function of seed and position.

use crate::random::{Draws, Stream};

/// Maps positions of an endless stream to item indices.
///
/// A finite set of n items is visited in epochs: position p lies in epoch p / n, whose order is a permutation drawn
/// by Fisher and Yates' shuffle from Philox under (seed, epoch). It is exactly uniform over all n! orders (up to the
/// 2^-64 of the bounded draws), which the O(1) alternatives (Feistel networks with cycle walking) are not; it costs
/// 8n bytes and one pass an epoch. An infinite set is visited in order: its items are independent draws already.
pub(crate) struct Order {
    seed: u64,
    items: Option<u64>,
    /// The epoch `permutation` belongs to.
    epoch: Option<u64>,
    permutation: Vec<u64>,
}

impl Order {
    pub(crate) fn new(seed: u64, items: Option<u64>) -> Self {
        Self { seed, items, epoch: None, permutation: Vec::new() }
    }

    /// The epoch that a position lies in.
    pub(crate) fn epoch(&self, position: u64) -> u64 {
        self.items.map_or(0, |items| position / items)
    }

    /// The item at a position.
    pub(crate) fn index(&mut self, position: u64) -> u64 {
        let Some(items) = self.items else { return position };
        let epoch = position / items;
        if self.epoch != Some(epoch) {
            self.shuffle(epoch, items);
        }
        self.permutation[(position % items) as usize]
    }

    fn shuffle(&mut self, epoch: u64, items: u64) {
        self.permutation.clear();
        self.permutation.extend(0..items);
        let mut draws = Draws::new(self.seed, Stream::Shuffle, epoch);
        for last in (1..items).rev() {
            self.permutation.swap(last as usize, draws.below(last + 1) as usize);
        }
        self.epoch = Some(epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch_of(order: &mut Order, epoch: u64, items: u64) -> Vec<u64> {
        (epoch * items..(epoch + 1) * items).map(|p| order.index(p)).collect()
    }

    #[test]
    fn every_epoch_is_another_permutation() {
        let mut order = Order::new(9, Some(1000));
        let first = epoch_of(&mut order, 0, 1000);
        let second = epoch_of(&mut order, 1, 1000);
        assert_ne!(first, second);
        assert_ne!(first, epoch_of(&mut Order::new(10, Some(1000)), 0, 1000));
        for mut epoch in [first, second] {
            epoch.sort_unstable();
            assert!(epoch.into_iter().eq(0..1000));
        }
    }

    #[test]
    fn jumping_about_gives_the_same_indices_as_walking() {
        let mut walking = Order::new(3, Some(17));
        let walked: Vec<u64> = (0..100).map(|p| walking.index(p)).collect();
        let mut jumping = Order::new(3, Some(17));
        for p in (0..100).rev() {
            assert_eq!(jumping.index(p), walked[p as usize]);
        }
    }

    #[test]
    fn all_orders_are_equally_likely() {
        // 24 orders of 4 items over 24,000 epochs: Pearson's statistic with 23 degrees of freedom exceeds 49.7 with
        // probability .001.
        let mut order = Order::new(1, Some(4));
        let mut counts = std::collections::HashMap::new();
        for epoch in 0..24_000 {
            *counts.entry(epoch_of(&mut order, epoch, 4)).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        let statistic: f64 = counts.values().map(|&c| (f64::from(c) - 1000.0).powi(2) / 1000.0).sum();
        assert!(statistic < 49.7, "{statistic}");
    }

    #[test]
    fn infinite_sets_are_visited_in_order() {
        let mut order = Order::new(1, None);
        assert_eq!(order.index(u64::MAX), u64::MAX);
        assert_eq!(order.epoch(u64::MAX), 0);
    }
}
