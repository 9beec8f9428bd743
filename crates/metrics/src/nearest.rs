//! The nearest rows of one set to each row of another.

use crate::blocks::{map_blocks, products};
use crate::error::MetricError;
use crate::features::{Features, squared_distance};

/// Rows whose neighbours are looked for at once.
const BLOCK: usize = 64;
/// Rows of the other set that are compared with at once: products of the two blocks stay in a core's cache.
const TILE: usize = 2048;

/// A row and its squared distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// The row.
    pub row: usize,
    /// Squared distance to it.
    pub square: f64,
}

/// The `k` rows of `set` nearest to each row of `points`, nearest first; the row of the same number is left out where the
/// sets are the same (`within`). Distances come from differences; which rows are looked at more closely comes from
/// products, whose rounding may exchange rows that are about as far.
///
/// # Errors
/// Different dimensions, k = 0, fewer than k rows to choose among.
pub fn nearest(
    points: &Features,
    set: &Features,
    k: usize,
    within: bool,
) -> Result<Vec<Vec<Neighbour>>, MetricError> {
    points.check_alike(set)?;
    let needed = k + usize::from(within);
    if k == 0 || set.rows() < needed {
        return Err(MetricError::TooFew {
            what: "nearest neighbours",
            needed: needed.max(1),
            got: set.rows(),
        });
    }
    let squares = set.squares();
    let found = map_blocks(points.rows(), BLOCK, |rows| {
        // |b|^2 - 2 a.b orders the rows b by distance from a.
        let mut kept: Vec<Vec<(f64, usize)>> = rows.clone().map(|_| Vec::with_capacity(2 * k)).collect();
        let mut bounds = vec![f64::INFINITY; rows.len()];
        for first in (0..set.rows()).step_by(TILE) {
            let tile = first..(first + TILE).min(set.rows());
            let products = products(points, rows.clone(), set, tile.clone());
            for (i, (kept, bound)) in kept.iter_mut().zip(&mut bounds).enumerate() {
                for (j, other) in tile.clone().enumerate() {
                    let order = squares[other] - 2.0 * products[(i, j)];
                    if order < *bound && !(within && other == rows.start + i) {
                        kept.push((order, other));
                        if kept.len() == 2 * k {
                            shorten(kept, k);
                            *bound = kept[k - 1].0;
                        }
                    }
                }
            }
        }
        rows.zip(kept)
            .map(|(row, mut kept)| {
                let k = k.min(kept.len());
                shorten(&mut kept, k);
                let exact = |&(_, other): &(f64, usize)| Neighbour {
                    row: other,
                    square: squared_distance(points.row(row), set.row(other)),
                };
                let mut near: Vec<Neighbour> = kept.iter().map(exact).collect();
                near.sort_by(|a, b| a.square.total_cmp(&b.square).then(a.row.cmp(&b.row)));
                near
            })
            .collect::<Vec<_>>()
    });
    Ok(found.concat())
}

/// Keeps the first k of an order, sorted; equal ones by row.
fn shorten(kept: &mut Vec<(f64, usize)>, k: usize) {
    let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    if kept.len() > k && k > 0 {
        kept.select_nth_unstable_by(k - 1, order);
        kept.truncate(k);
    }
    kept.sort_by(order);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    fn set(seed: u64, rows: usize, d: usize) -> Features {
        let mut random = Random::new(seed);
        Features::new((0..rows * d).map(|_| random.unit()).collect(), d).unwrap()
    }

    #[test]
    fn they_are_those_that_sorting_all_finds() {
        let (points, others) = (set(1, 70, 5), set(2, 2100, 5));
        for (points, within) in [(&points, false), (&others, true)] {
            let found = nearest(points, &others, 4, within).unwrap();
            assert_eq!(found.len(), points.rows());
            for row in (0..points.rows()).step_by(37) {
                let mut all: Vec<(f64, usize)> = (0..others.rows())
                    .filter(|&other| !(within && other == row))
                    .map(|other| (squared_distance(points.row(row), others.row(other)), other))
                    .collect();
                all.sort_by(|a, b| a.0.total_cmp(&b.0));
                let rows: Vec<usize> = found[row].iter().map(|n| n.row).collect();
                assert_eq!(rows, all[..4].iter().map(|n| n.1).collect::<Vec<_>>());
                assert_eq!(found[row][0].square, all[0].0);
            }
        }
        // The wrong twin finds each row itself.
        let own = nearest(&others, &others, 1, false).unwrap();
        assert!(own.iter().enumerate().all(|(i, n)| n[0].row == i && n[0].square == 0.0));
    }

    #[test]
    fn what_has_no_neighbours_is_refused() {
        let few = set(3, 4, 2);
        assert!(nearest(&few, &few, 4, true).is_err() && nearest(&few, &few, 4, false).is_ok());
        assert!(nearest(&few, &few, 0, false).is_err());
        assert!(nearest(&few, &set(3, 9, 3), 1, false).is_err());
    }
}
