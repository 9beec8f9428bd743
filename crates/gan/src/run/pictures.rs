//! Pictures of samples as the data's kind asks: grids of images, or points over real ones.

use super::Run;
use crate::error::Error;
use crate::extractors::Watch;
use crate::picture;
use ganymede_data::Dataset;
use std::path::{Path, PathBuf};

/// Images in a sample grid.
pub const GRID: usize = 64;
/// Most classes that have a column of a grid each.
const CLASS_COLUMNS: usize = 16;
/// Longest side of a sample grid in pixels; larger images are drawn in smaller grids.
const GRID_SIDE: usize = 4096;
/// Points in a scatter plot.
const POINTS: usize = 2000;

impl Run {
    /// The samples of a tick: as many as its picture shows first, then those that are watched. They are drawn in requests of
    /// one size, so that no further program is made for them.
    pub(super) fn samples_of_tick(&mut self, watch: &mut dyn Watch) -> Result<Vec<f32>, Error> {
        let recipe = &self.trainer.objective().recipe;
        let (count, _) = samples_drawn(&recipe.data.shape, recipe.data.classes);
        let wanted = self.watch.as_ref().map_or(0, |watch| watch.wanted());
        self.samples_to_show(count, wanted.max(count), watch)
    }

    /// Writes the picture of this step, of the first of these samples.
    pub(super) fn draw(&mut self, samples: &[f32]) -> Result<PathBuf, Error> {
        let path = self.folder.sample(self.trainer.progress().step);
        let recipe = &self.trainer.objective().recipe;
        let (count, columns) = samples_drawn(&recipe.data.shape, recipe.data.classes);
        let shown = &samples[..count * self.dataset.elements()];
        write_picture(&path, shown, &recipe.data.shape, &self.dataset, columns)?;
        Ok(path)
    }
}

/// Points as the networks see them, in the units of the data.
pub fn original_points(values: &[f32], dataset: &Dataset) -> Vec<[f64; 2]> {
    let scale = dataset.scale();
    values.chunks_exact(2).map(|p| [f64::from(p[0]) * scale, f64::from(p[1]) * scale]).collect()
}

/// Draws samples as the data's kind asks: a grid of images with so many in a row, or points over real ones.
pub fn write_picture(
    path: &Path,
    samples: &[f32],
    shape: &[usize],
    dataset: &Dataset,
    columns: usize,
) -> Result<(), Error> {
    if shape.len() == 3 {
        picture::write_grid(path, samples, shape, columns)?;
        return Ok(());
    }
    let indices: Vec<u64> = (0..POINTS as u64).collect();
    let mut real = vec![0.0; POINTS * 2];
    dataset.fill(&indices, &mut real, None)?;
    picture::write_scatter(path, &original_points(&real, dataset), &original_points(samples, dataset))?;
    Ok(())
}

/// Samples that a tick draws, and how many stand in a row: a square grid of at most [`GRID`] images and 4096 pixels a side,
/// or points. Up to 16 classes have a column each, as far as they fit.
pub fn samples_drawn(shape: &[usize], classes: Option<usize>) -> (usize, usize) {
    let [height, width, _] = shape[..] else { return (POINTS, 1) };
    let fits = |side: usize| side * side <= GRID && side * height.max(width) <= GRID_SIDE;
    let side = (1..=GRID).take_while(|&side| fits(side)).last().unwrap_or(1);
    let by_class = classes.filter(|&n| n <= CLASS_COLUMNS && n * width <= GRID_SIDE);
    by_class.map_or((side * side, side), |columns| (columns * side.min(GRID / columns), columns))
}
