//! Cells of feature space, to count samples in where nobody says what their kinds are (the bins of Richardson and Weiss
//! 2018): k-means on real samples.

use crate::blocks::map_blocks;
use crate::error::MetricError;
use crate::features::{Features, squared_distance};
use crate::stats::Random;

/// Rows that are assigned at once.
const BLOCK: usize = 256;
/// Most rounds of assigning and averaging (Lloyd 1982); more move a few samples at borders.
const ROUNDS: usize = 25;

/// Centres of cells: a sample belongs to the nearest.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    centres: Features,
}

impl Cells {
    /// So many cells by k-means, begun with centres drawn in proportion to the squared distance from those before (Arthur
    /// and Vassilvitskii 2007).
    ///
    /// # Errors
    /// No cells, or fewer rows than cells.
    pub fn new(real: &Features, cells: usize, seed: u64) -> Result<Self, MetricError> {
        if cells == 0 || real.rows() < cells {
            return Err(MetricError::TooFew {
                what: "cells of feature space",
                needed: cells.max(1),
                got: real.rows(),
            });
        }
        let mut random = Random::new(seed);
        let mut chosen = vec![random.below(real.rows())];
        let mut least = vec![f64::INFINITY; real.rows()];
        while chosen.len() < cells {
            let newest = real.row(chosen[chosen.len() - 1]);
            for (row, least) in least.iter_mut().enumerate() {
                *least = least.min(squared_distance(real.row(row), newest));
            }
            let total: f64 = least.iter().sum();
            let mut u = random.unit() * total;
            let next = least.iter().position(|square| {
                u -= square;
                u < 0.0
            });
            // All rows are centres already: any will do, and its cell stays empty.
            chosen.push(next.unwrap_or_else(|| random.below(real.rows())));
        }
        let mut cells = Self { centres: real.select(chosen) };
        let mut before = Vec::new();
        for _ in 0..ROUNDS {
            let of = cells.assign(real)?;
            if of == before {
                break;
            }
            cells.move_centres(real, &of);
            before = of;
        }
        Ok(cells)
    }

    fn move_centres(&mut self, real: &Features, of: &[usize]) {
        let d = real.dimensions();
        let mut sums = vec![0.0; self.centres.rows() * d];
        let mut counts = vec![0u64; self.centres.rows()];
        for (row, &cell) in of.iter().enumerate() {
            counts[cell] += 1;
            sums[cell * d..][..d].iter_mut().zip(real.row(row)).for_each(|(sum, x)| *sum += x);
        }
        for (cell, &count) in counts.iter().enumerate() {
            let sum = &mut sums[cell * d..][..d];
            match count {
                // An empty cell stays where it is.
                0 => sum.copy_from_slice(self.centres.row(cell)),
                _ => sum.iter_mut().for_each(|x| *x /= count as f64),
            }
        }
        // Means of finite rows are finite.
        if let Ok(centres) = Features::new(sums, d) {
            self.centres = centres;
        }
    }

    /// The cell of each row, the first of equally near ones.
    ///
    /// # Errors
    /// Different dimensions.
    pub fn assign(&self, set: &Features) -> Result<Vec<usize>, MetricError> {
        self.centres.check_alike(set)?;
        let found = map_blocks(set.rows(), BLOCK, |rows| {
            rows.map(|row| {
                let squares = (0..self.centres.rows())
                    .map(|cell| (squared_distance(set.row(row), self.centres.row(cell)), cell));
                squares.fold((f64::INFINITY, 0), |best, next| if next.0 < best.0 { next } else { best }).1
            })
            .collect::<Vec<_>>()
        });
        Ok(found.concat())
    }

    /// Rows in each cell.
    ///
    /// # Errors
    /// Different dimensions.
    pub fn counts(&self, set: &Features) -> Result<Vec<u64>, MetricError> {
        let mut counts = vec![0; self.centres.rows()];
        self.assign(set)?.into_iter().for_each(|cell| counts[cell] += 1);
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points around so many places on a circle.
    fn ring(random: &mut Random, rows: usize, places: usize) -> Features {
        let values = (0..rows).flat_map(|_| {
            let angle = random.below(places) as f64 / places as f64 * std::f64::consts::TAU;
            let mut noise = || 0.1 * (random.unit() - 0.5);
            [angle.cos() + noise(), angle.sin() + noise()]
        });
        Features::new(values.collect(), 2).unwrap()
    }

    #[test]
    fn cells_are_the_places_that_there_are() {
        let mut random = Random::new(1);
        let real = ring(&mut random, 800, 8);
        let cells = Cells::new(&real, 8, 3).unwrap();
        assert_eq!(cells, Cells::new(&real, 8, 3).unwrap());
        let counts = cells.counts(&real).unwrap();
        // Seeds that fall twice into a place leave another one without; k-means++ makes that rare with places far apart.
        assert!(counts.iter().all(|&c| c > 60), "{counts:?}");
        assert_eq!(counts.iter().sum::<u64>(), 800);
        let half = real.select((0..800).filter(|&row| real.row(row)[1] > 0.05).collect::<Vec<_>>());
        let counts = cells.counts(&half).unwrap();
        assert!(counts.iter().filter(|&&c| c == 0).count() >= 3, "{counts:?}");
    }

    #[test]
    fn equal_rows_and_too_many_cells_are_no_trouble() {
        let same = Features::new(vec![1.0; 20], 2).unwrap();
        let cells = Cells::new(&same, 4, 0).unwrap();
        assert_eq!(cells.counts(&same).unwrap().iter().sum::<u64>(), 10);
        assert!(Cells::new(&same, 11, 0).is_err() && Cells::new(&same, 0, 0).is_err());
        assert!(cells.counts(&Features::new(vec![1.0; 3], 3).unwrap()).is_err());
    }
}
