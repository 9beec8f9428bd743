//! Parts of a set, as sets.

use ganymede_data::{ContentHash, Dataset, Items};
use std::sync::Arc;

/// Of every so many items one is held out.
const EVERY: u64 = 10;

/// Some items of a set.
struct Part {
    whole: Arc<Dataset>,
    held_out: bool,
}

impl Part {
    /// The item of the whole set that is number `i` of this part.
    fn index(&self, i: u64) -> u64 {
        if self.held_out { i * EVERY + EVERY - 1 } else { i / (EVERY - 1) * EVERY + i % (EVERY - 1) }
    }
}

impl Items for Part {
    fn count(&self) -> Option<u64> {
        let held = |items: u64| items / EVERY;
        self.whole.len().map(|items| if self.held_out { held(items) } else { items - held(items) })
    }

    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        let indices: Vec<u64> = indices.iter().map(|&i| self.index(i)).collect();
        fill_whole(&self.whole, &indices, out, labels);
    }
}

/// Fills from a set whose bounds are kept by the part of it that is asked.
pub(super) fn fill_whole(whole: &Dataset, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
    if let Err(error) = whole.fill(indices, out, labels) {
        unreachable!("a part is checked before it asks the whole: {error}");
    }
}

/// A set of `items` with the classes of another, known by `what` is done to it.
pub(super) fn derived(
    whole: &Dataset,
    what: &str,
    shape: &[usize],
    classes: Option<Vec<String>>,
    items: Box<dyn Items>,
) -> Dataset {
    let mut hash = blake3::Hasher::new();
    hash.update(what.as_bytes());
    hash.update(&whole.hash().0);
    let spec = format!("{} ({what})", whole.spec());
    let set = Dataset::new(spec, shape, ContentHash(hash.finalize().into()), items);
    match classes {
        Some(classes) => set.with_classes(classes),
        None => set,
    }
}

/// A set whose labels are other numbers, `to[label]`, of other classes.
struct Renumbered {
    whole: Arc<Dataset>,
    to: Vec<i32>,
}

impl Items for Renumbered {
    fn count(&self) -> Option<u64> {
        self.whole.len()
    }

    fn held_bytes(&self) -> u64 {
        self.whole.held_bytes()
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], mut labels: Option<&mut [i32]>) {
        fill_whole(&self.whole, indices, out, labels.as_deref_mut());
        for label in labels.into_iter().flatten() {
            *label = self.to[*label as usize];
        }
    }
}

/// The same set with label `k` written as `to[k]` among `classes`. Its hash knows of it, so that what was found of other
/// numbers is not taken for its own.
pub(crate) fn renumbered(whole: &Arc<Dataset>, to: Vec<i32>, classes: &[String]) -> Dataset {
    let mut hash = blake3::Hasher::new();
    hash.update(b"renumbered");
    hash.update(&whole.hash().0);
    to.iter().for_each(|number| _ = hash.update(&number.to_le_bytes()));
    let items = Box::new(Renumbered { whole: whole.clone(), to });
    Dataset::new(whole.spec(), whole.shape(), ContentHash(hash.finalize().into()), items)
        .with_classes(classes.to_vec())
}

/// A set in two: nine of ten items to learn from, and every tenth to ask. Of a set without an end, or of fewer than ten
/// items, nothing is held out.
pub fn held_out(whole: &Arc<Dataset>) -> (Arc<Dataset>, Option<Arc<Dataset>>) {
    if whole.len().is_none_or(|items| items < EVERY) {
        return (whole.clone(), None);
    }
    let part = |held_out, what| {
        let items = Part { whole: whole.clone(), held_out };
        let classes = whole.classes().map(<[String]>::to_vec);
        Arc::new(derived(whole, what, whole.shape(), classes, Box::new(items)))
    };
    (part(false, "nine of ten"), Some(part(true, "every tenth")))
}
