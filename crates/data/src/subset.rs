//! Parts of a set: some of its classes, or a number of its items.
//!
//! A limited set is a random choice that depends on the set alone, not on the run's seed. How many items each class gives
//! follows from the quota method of apportionment (Balinski, Young 1975): one place after the other goes to the class with
//! the largest size over places so far and one more, among those that are still below their exact share of the places
//! given out with this one. Every class so has its share rounded down or up, and no class gives up an item when the limit
//! grows. Within a class items are ranked by a hash of their index, and the first are taken. So a set holds all of the
//! same set limited to less.

use crate::{
    dataset::{ContentHash, Dataset, Items},
    error::DataError,
    random::{Draws, Stream},
    spec::{Spec, decoded},
};
use ganymede_nn::error::nearest;
use std::{
    cmp::{self, Reverse},
    collections::BinaryHeap,
};

/// The parameters that every source takes.
pub const PARAMETERS: &[(&str, &str)] = &[
    (
        "limit",
        "so many items: a fixed random choice with the classes in proportion; of an endless set, the first",
    ),
    (
        "classes",
        "these classes alone, by name or number, with commas between; renumbered in the set's own order",
    ),
];

/// Items of an endless set that are looked through for those of some classes.
const MAX_SEARCHED: u64 = 1 << 24;

/// The part of `set` that `spec` asks for, the set itself where it asks for none.
pub(crate) fn apply(set: Dataset, spec: &Spec<'_>) -> Result<Dataset, DataError> {
    let limit = spec.count("limit", u64::MAX)?;
    let classes = spec.value("classes").map(|value| chosen(&set, spec, &decoded(value))).transpose()?;
    if limit.is_none() && classes.is_none() {
        return Ok(set);
    }
    let refuse = |reason: String| DataError::Subset { spec: spec.text().to_owned(), reason };
    if classes.is_some() && set.mixture().is_some() {
        return Err(refuse(
            "a mixture is known by all its modes, none can be left out: leave `classes` out".to_owned(),
        ));
    }
    let wanted = |label: i32| classes.as_ref().is_none_or(|c| c.contains(&(label as usize)));
    let indices = match (set.len(), limit) {
        (None, None) => {
            return Err(refuse("the set has no end: give `limit` beside `classes`".to_owned()));
        }
        (None, Some(limit)) => first(&set, limit, classes.is_some(), wanted, refuse)?,
        (Some(items), limit) => {
            let labels = set.classes().is_some().then(|| set.labels_of_all()).transpose()?;
            let of = |index: u64| labels.as_ref().map_or(0, |labels| labels[index as usize]);
            let indices: Vec<u64> = (0..items).filter(|&index| wanted(of(index))).collect();
            let have = indices.len() as u64;
            match limit {
                _ if have == 0 => return Err(refuse("none of its items is of these classes".to_owned())),
                Some(limit) if limit > have => {
                    let of_these = if classes.is_some() { " of these classes" } else { "" };
                    return Err(refuse(format!(
                        "limit={limit}, but the set has {have} items{of_these}: ask for at most that, or leave `limit` out"
                    )));
                }
                Some(limit) => in_proportion(indices, limit, of),
                None => indices,
            }
        }
    };
    Ok(build(set, spec, indices, classes))
}

/// The numbers of the classes that `list` names, ascending.
fn chosen(set: &Dataset, spec: &Spec<'_>, list: &str) -> Result<Vec<usize>, DataError> {
    let Some(names) = set.classes() else {
        return Err(DataError::Unlabelled { spec: spec.text().to_owned() });
    };
    let mut numbers = Vec::new();
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let named = names.iter().position(|name| name == word);
        let numbered = || word.parse::<usize>().ok().filter(|&number| number < names.len());
        let Some(number) = named.or_else(numbered) else {
            const LISTED: usize = 20;
            let hint = nearest(word, names.iter().map(String::as_str));
            let hint = hint.map_or(String::new(), |name| format!(" (did you mean `{name}`?)"));
            let listed = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if names.len() > LISTED { ", .." } else { "" };
            let expected = format!(
                "names or numbers of its {} classes; there is no `{word}`{hint}: {listed}{more}",
                names.len()
            );
            return Err(spec.bad("classes", list, expected));
        };
        if numbers.contains(&number) {
            return Err(spec.bad(
                "classes",
                list,
                format!("each class once, and `{}` is there twice", names[number]),
            ));
        }
        numbers.push(number);
    }
    if numbers.is_empty() {
        return Err(spec.bad("classes", list, "at least one class"));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The first `limit` items of an endless set, whose items are independent draws already.
fn first(
    set: &Dataset,
    limit: u64,
    search: bool,
    wanted: impl Fn(i32) -> bool,
    refuse: impl Fn(String) -> DataError,
) -> Result<Vec<u64>, DataError> {
    const CHUNK: u64 = 1024;
    if limit > MAX_SEARCHED {
        return Err(refuse(format!(
            "limit={limit}: of an endless set at most {MAX_SEARCHED} items can be chosen"
        )));
    }
    if !search {
        return Ok((0..limit).collect());
    }
    let mut found = Vec::new();
    for start in (0..MAX_SEARCHED).step_by(CHUNK as usize) {
        let indices: Vec<u64> = (start..start + CHUNK).collect();
        let labels = set.labels(&indices)?;
        found.extend(indices.iter().zip(labels).filter(|&(_, label)| wanted(label)).map(|(&index, _)| index));
        if found.len() as u64 >= limit {
            found.truncate(limit as usize);
            return Ok(found);
        }
    }
    Err(refuse(format!("only {} of its first {MAX_SEARCHED} items are of these classes", found.len())))
}

/// `limit` of the `indices`, ascending, by the rule of this module.
fn in_proportion(indices: Vec<u64>, limit: u64, label: impl Fn(u64) -> i32) -> Vec<u64> {
    let mut ranked: Vec<(i32, u64, u64)> = indices
        .into_iter()
        .map(|index| (label(index), Draws::new(0, Stream::Subset, index).word64(), index))
        .collect();
    ranked.sort_unstable();
    let classes: Vec<_> = ranked.chunk_by(|a, b| a.0 == b.0).collect();
    let sizes: Vec<u64> = classes.iter().map(|class| class.len() as u64).collect();
    let places = apportion(&sizes, limit);
    let firsts = classes.iter().zip(places).flat_map(|(class, places)| &class[..places as usize]);
    let mut taken: Vec<u64> = firsts.map(|&(_, _, index)| index).collect();
    taken.sort_unstable();
    taken
}

/// What a class has to set against others: the larger its size over the places that it would have with one more, the better,
/// and of equal ones the first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Claim {
    size: u64,
    next: u64,
    class: usize,
}

impl Ord for Claim {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        let (mine, its) =
            (u128::from(self.size) * u128::from(other.next), u128::from(other.size) * u128::from(self.next));
        mine.cmp(&its).then(other.class.cmp(&self.class))
    }
}

impl PartialOrd for Claim {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The quota method: how many of `places` each class of these sizes has; at most as many as there are items. A class that
/// holds h of n places is below its share size n / total from n = floor(h total / size) + 1 on, so that one queue holds
/// classes until then and another those that a place may go to: each place costs the logarithm of their number.
fn apportion(sizes: &[u64], places: u64) -> Vec<u64> {
    let total: u128 = sizes.iter().map(|&size| u128::from(size)).sum();
    let mut held = vec![0_u64; sizes.len()];
    let below_from = |class: usize, held: u64| u128::from(held) * total / u128::from(sizes[class]) + 1;
    let mut waiting: BinaryHeap<Reverse<(u128, usize)>> =
        (0..sizes.len()).filter(|&class| sizes[class] > 0).map(|class| Reverse((1, class))).collect();
    let mut claims: BinaryHeap<Claim> = BinaryHeap::new();
    for given in 1..=u128::from(places) {
        while let Some(&Reverse((from, class))) = waiting.peek()
            && from <= given
        {
            waiting.pop();
            claims.push(Claim { size: sizes[class], next: held[class] + 1, class });
        }
        // Shares add up to the places, so that one class at least is below its own.
        let Some(Claim { class, .. }) = claims.pop() else { break };
        held[class] += 1;
        waiting.push(Reverse((below_from(class, held[class]), class)));
    }
    held
}

fn build(set: Dataset, spec: &Spec<'_>, indices: Vec<u64>, classes: Option<Vec<usize>>) -> Dataset {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"subset");
    hasher.update(&set.hash().0);
    indices.iter().for_each(|index| _ = hasher.update(&index.to_le_bytes()));
    hasher.update(b"classes");
    classes.iter().flatten().for_each(|&class| _ = hasher.update(&(class as u64).to_le_bytes()));
    let hash = ContentHash(hasher.finalize().into());
    let renumbered = classes.as_ref().map(|classes| {
        let count = set.classes().map_or(0, <[String]>::len);
        let mut new = vec![0; count];
        classes.iter().zip(0..).for_each(|(&old, number)| new[old] = number);
        new
    });
    set.part(spec.text(), hash, classes, |items| {
        let (items, indices) = match items.select(&indices) {
            Some(copied) => (copied, None),
            None => (items, Some(indices)),
        };
        Box::new(Subset { items, indices, renumbered })
    })
}

/// Some items of another set.
struct Subset {
    items: Box<dyn Items>,
    /// Where each item stands in `items`; the same place unless given.
    indices: Option<Vec<u64>>,
    /// The new label of each old one; the same unless given.
    renumbered: Option<Vec<i32>>,
}

impl Subset {
    fn places(&self, indices: &[u64]) -> Vec<u64> {
        match &self.indices {
            Some(chosen) => indices.iter().map(|&index| chosen[index as usize]).collect(),
            None => indices.to_vec(),
        }
    }

    fn renumber(&self, labels: &mut [i32]) {
        if let Some(new) = &self.renumbered {
            labels.iter_mut().for_each(|label| *label = new[*label as usize]);
        }
    }
}

impl Items for Subset {
    fn count(&self) -> Option<u64> {
        self.indices.as_ref().map(|indices| indices.len() as u64).or_else(|| self.items.count())
    }

    fn held_bytes(&self) -> u64 {
        let own = self.indices.as_ref().map_or(0, |indices| indices.len() * size_of::<u64>());
        self.items.held_bytes() + own as u64
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], mut labels: Option<&mut [i32]>) {
        self.items.fill(&self.places(indices), out, labels.as_deref_mut());
        if let Some(labels) = labels {
            self.renumber(labels);
        }
    }

    fn labels(&self, indices: &[u64], labels: &mut [i32]) -> bool {
        let known = self.items.labels(&self.places(indices), labels);
        if known {
            self.renumber(labels);
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apportionment_stays_within_shares_and_never_takes_back() {
        let one_large: Vec<u64> = [9900].into_iter().chain([100; 99]).collect();
        for sizes in [vec![60, 30, 20, 10], one_large, vec![7], vec![5, 5, 5], vec![1, 1000, 3, 17, 17]] {
            let total: u64 = sizes.iter().sum();
            let mut before = vec![0; sizes.len()];
            for places in 0..=total.min(700) {
                let held = apportion(&sizes, places);
                assert_eq!(held.iter().sum::<u64>(), places);
                for ((&held, &size), &before) in held.iter().zip(&sizes).zip(&before) {
                    let share = (places * size) as f64 / total as f64;
                    assert!(
                        (held as f64 - share).abs() < 1.0 && held >= before,
                        "{sizes:?} {places}: {held}"
                    );
                }
                before = held;
            }
            assert_eq!(apportion(&sizes, total), sizes);
        }
    }

    /// The method as it is defined: every class is looked at for every place.
    fn defined(sizes: &[u64], places: u64) -> Vec<u64> {
        let total: u64 = sizes.iter().sum();
        let mut held = vec![0_u64; sizes.len()];
        for given in 1..=places {
            let below = |class: &usize| held[*class] * total < given * sizes[*class];
            let ahead = |a: usize, b: usize| sizes[a] * (held[b] + 1) >= sizes[b] * (held[a] + 1);
            let next = (0..sizes.len()).filter(below).reduce(|a, b| if ahead(a, b) { a } else { b });
            held[next.unwrap()] += 1;
        }
        held
    }

    #[test]
    fn queues_give_what_the_definition_gives() {
        let uneven: Vec<u64> = (0..40).map(|i| 1 + i * i % 17 * (i % 3)).collect();
        for sizes in
            [uneven, vec![5; 9], vec![3, 0, 7, 0], vec![1, 1000, 3, 17, 17], vec![9900, 100, 100, 99]]
        {
            let total: u64 = sizes.iter().sum();
            for places in (0..=total).step_by(1 + total as usize / 50) {
                assert_eq!(apportion(&sizes, places), defined(&sizes, places), "{sizes:?} {places}");
            }
        }
    }

    #[test]
    fn many_places_of_many_classes_take_no_time_for_each_pair_of_them() {
        // 4e10 pairs, minutes of work even at a nanosecond each.
        let sizes: Vec<u64> = (0..20_000).map(|i| 100 + i % 7).collect();
        let began = std::time::Instant::now();
        let held = apportion(&sizes, 2_000_000);
        assert_eq!(held.iter().sum::<u64>(), 2_000_000);
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }

    #[test]
    fn rounding_every_share_by_itself_would_not_do() {
        // What Webster's method gives of 49 places: all to the one large class, whose share is 24.5.
        let sizes: Vec<u64> = [9900].into_iter().chain([100; 99]).collect();
        let held = apportion(&sizes, 49);
        assert!((24..=25).contains(&held[0]), "{held:?}");
    }
}
