//! What augmentations make of real samples, as a picture.

use crate::error::Error;
use crate::picture;
use crate::step::{Objective, feed};
use crate::trainer::key_of;
use ganymede_cpu::{Executor, Session, StateStore};
use ganymede_data::Dataset;
use std::path::Path;
use std::sync::Arc;

/// Real samples shown, one a row.
const ROWS: usize = 8;
/// Pictures in a row: the sample, then as many less one of what becomes of it.
const COLUMNS: usize = 8;

/// The probability at which a preview shows a recipe's augmentations: the largest that it schedules, 1 where it adapts.
pub fn probability(objective: &Objective) -> f64 {
    let spec = objective.recipe.augment.as_ref();
    let scheduled = spec.filter(|a| a.target.is_none()).and_then(|a| a.probability.as_ref());
    scheduled.map_or(1.0, |p| p.range().1)
}

/// Writes a grid: in each row a real sample and what the recipe's augmentations make of it, as `seed` draws.
///
/// # Errors
/// The recipe has none, the set's samples are of another shape, memory is short, or the picture cannot be written.
pub fn write(
    objective: &Objective,
    dataset: &Dataset,
    executor: Arc<Executor>,
    seed: u64,
    path: &Path,
) -> Result<(), Error> {
    let shape = &objective.recipe.data.shape;
    if objective.augmentations.is_empty() {
        return Err(Error::Refused(format!(
            "recipe `{}` has no augmentations to show: give it some, e.g. --set 'augment.policy=[\"color\", \
             \"translation\"]' (`ganymede recipes --words` lists them)",
            objective.recipe.name
        )));
    }
    let rows = dataset.len().map_or(ROWS, |n| ROWS.min(n as usize));
    let size: usize = shape.iter().product();
    let mut real = vec![0.0; rows * size];
    dataset.fill(&(0..rows as u64).collect::<Vec<_>>(), &mut real, None)?;
    let mut grid = Vec::with_capacity(rows * COLUMNS * size);
    for sample in real.chunks(size) {
        grid.extend((0..COLUMNS).flat_map(|_| sample));
    }
    let mut session = Session::new(executor, StateStore::new());
    let phase = session.add_phase("augment", &objective.augment_phase(rows * COLUMNS)?)?;
    session.feed_mut(phase, "samples")?.copy_from_slice(&grid);
    session.feed_mut(phase, feed::AUGMENT)?[0] = probability(objective) as f32;
    session.feed_words_mut(phase, feed::KEY)?.copy_from_slice(&key_of(seed));
    session.feed_words_mut(phase, feed::FIRST)?.copy_from_slice(&[0, 0]);
    session.run(phase)?;
    let changed = session.output(phase, "samples").unwrap_or(&[]);
    for (i, (picture, changed)) in grid.chunks_mut(size).zip(changed.chunks(size)).enumerate() {
        if i % COLUMNS > 0 {
            picture.copy_from_slice(changed);
        }
    }
    Ok(picture::write_grid(path, &grid, shape, COLUMNS)?)
}
