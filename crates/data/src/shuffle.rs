//! The order in which a loader visits items: a pure function of seed and position.

use crate::random::{Draws, Stream};
use ganymede_kernels::random::fold_in;

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
        shuffle(&mut self.permutation, &mut Draws::new(self.seed, Stream::Shuffle, epoch));
        self.epoch = Some(epoch);
    }
}

/// Fisher and Yates' shuffle.
fn shuffle<T>(items: &mut [T], draws: &mut Draws) {
    for last in (1..items.len()).rev() {
        items.swap(last, draws.below(last as u64 + 1) as usize);
    }
}

/// Maps positions of an endless stream to item indices so that all classes are seen equally often.
///
/// Of C classes with items, positions r C to r C + C - 1 are round r: each class once, in an order drawn from (seed,
/// round). What round r takes of a class is position r of the class's own stream, which visits its items in epochs as
/// [`Order`] does, under a seed folded with the class's number.
pub(crate) struct ClassOrder {
    seed: u64,
    items: u64,
    classes: Vec<Class>,
    /// The round `turns` belongs to.
    round: Option<u64>,
    turns: Vec<usize>,
}

struct Class {
    members: Vec<u64>,
    order: Order,
}

impl ClassOrder {
    /// The order of items with these labels, from 0 to `classes`; classes without items are passed over.
    pub(crate) fn new(seed: u64, labels: &[i32], classes: usize) -> Self {
        let mut members = vec![Vec::new(); classes];
        for (index, &label) in (0..).zip(labels) {
            members[label as usize].push(index);
        }
        let of = |(number, members): (u64, Vec<u64>)| {
            let [low, high] = fold_in([seed as u32, (seed >> 32) as u32], number);
            let order = Order::new(u64::from(low) | u64::from(high) << 32, Some(members.len() as u64));
            Class { members, order }
        };
        let classes: Vec<Class> =
            (0..).zip(members).filter(|(_, members)| !members.is_empty()).map(of).collect();
        Self { seed, items: labels.len() as u64, classes, round: None, turns: Vec::new() }
    }

    /// How many times as many items as there are came before a position.
    pub(crate) fn epoch(&self, position: u64) -> u64 {
        position / self.items
    }

    /// The item at a position.
    pub(crate) fn index(&mut self, position: u64) -> u64 {
        let count = self.classes.len() as u64;
        let round = position / count;
        if self.round != Some(round) {
            self.turns.clear();
            self.turns.extend(0..self.classes.len());
            shuffle(&mut self.turns, &mut Draws::new(self.seed, Stream::ClassRound, round));
            self.round = Some(round);
        }
        let class = &mut self.classes[self.turns[(position % count) as usize]];
        class.members[class.order.index(round) as usize]
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
    fn each_round_holds_each_class_and_each_class_each_item() {
        // 3, 0, 7 and 1 items of the classes 0 to 3.
        let labels = [2, 0, 2, 2, 3, 0, 2, 2, 0, 2, 2];
        let mut order = ClassOrder::new(5, &labels, 4);
        let stream: Vec<u64> = (0..3 * 42).map(|p| order.index(p)).collect();
        let mut turns = std::collections::HashSet::new();
        for round in stream.chunks(3) {
            let mut classes: Vec<i32> = round.iter().map(|&i| labels[i as usize]).collect();
            turns.insert(classes.clone());
            classes.sort_unstable();
            assert_eq!(classes, [0, 2, 3]);
        }
        assert_eq!(turns.len(), 6, "every order of three classes in 42 rounds");
        for class in [0, 2, 3] {
            let own: Vec<u64> = stream.iter().copied().filter(|&i| labels[i as usize] == class).collect();
            let size = labels.iter().filter(|&&l| l == class).count();
            let epochs: Vec<&[u64]> = own.chunks_exact(size).collect();
            for epoch in &epochs {
                let mut epoch = epoch.to_vec();
                epoch.sort_unstable();
                epoch.dedup();
                assert_eq!(epoch.len(), size, "class {class}");
            }
            assert!(
                size == 1 || epochs.windows(2).any(|pair| pair[0] != pair[1]),
                "class {class} is shuffled anew"
            );
        }
        let mut jumping = ClassOrder::new(5, &labels, 4);
        assert!((0..stream.len()).rev().all(|p| jumping.index(p as u64) == stream[p]));
        let mut other = ClassOrder::new(6, &labels, 4);
        assert!((0..stream.len()).any(|p| other.index(p as u64) != stream[p]), "the seed matters");
    }

    #[test]
    fn infinite_sets_are_visited_in_order() {
        let mut order = Order::new(1, None);
        assert_eq!(order.index(u64::MAX), u64::MAX);
        assert_eq!(order.epoch(u64::MAX), 0);
    }
}
