//! Precision, recall, density and coverage from nearest neighbours in feature space.
//!
//! Each sample of a set has a ball: around it, up to its k-th nearest neighbour in the same set (itself not counted).
//! Samples inside balls of the other set are taken for plausible or covered. Whether a sample on the surface is inside is
//! a convention that programs differ in: [`Ball`] names it. Neighbours are found from matrix products; wherever their
//! rounding could decide, the sum of squared differences does, so that equal features have distance 0 and ties are ties.

use crate::blocks::{map_blocks, products};
use crate::error::MetricError;
use crate::features::Features;

/// Rows of one set whose distances to the other are held at once.
const BLOCK: usize = 128;

/// Whether a sample on the surface of a ball is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ball {
    /// No, distance < radius: the program `prdc` (Naeem et al. 2020) for all four scores.
    Open,
    /// Yes, distance <= radius: Kynkaanniemi et al. 2019 (equation 1) and torch-fidelity.
    Closed,
}

impl Ball {
    /// Both.
    pub const ALL: [Ball; 2] = [Ball::Open, Ball::Closed];

    /// The inequality, `<` or `<=`.
    pub fn sign(self) -> &'static str {
        match self {
            Ball::Open => "<",
            Ball::Closed => "<=",
        }
    }

    fn holds(self, square: f64, radius: f64) -> bool {
        match self {
            Ball::Open => square < radius,
            Ball::Closed => square <= radius,
        }
    }
}

/// How alike two sets are, as Kynkaanniemi et al. 2019 count it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// The share of generated samples inside a ball of a real one.
    pub precision: f64,
    /// The share of real samples inside a ball of a generated one.
    pub recall: f64,
}

/// How alike two sets are, as Naeem et al. 2020 count it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DensityCoverage {
    /// Balls of real samples that a generated sample lies in, over k, on average (equation 3): 1 on average for equal
    /// laws, and not bounded by it.
    pub density: f64,
    /// The share of real samples whose ball holds a generated one (equation 4).
    pub coverage: f64,
}

/// Precision and recall with balls up to the k-th neighbour; k = 3 is usual.
///
/// # Errors
/// A set of at most k samples, k = 0, different dimensions.
pub fn precision_recall(
    real: &Features,
    generated: &Features,
    k: usize,
    ball: Ball,
) -> Result<PrecisionRecall, MetricError> {
    real.check_alike(generated)?;
    let share = |balls: &Features, points: &Features| -> Result<f64, MetricError> {
        let inside = inside(balls, &radii(balls, k)?, points, ball);
        Ok(inside.balls_of_point.iter().filter(|&&n| n > 0).count() as f64 / points.rows() as f64)
    };
    // The second set's size is checked by its own radii.
    let recall = share(generated, real)?;
    Ok(PrecisionRecall { precision: share(real, generated)?, recall })
}

/// Density and coverage with balls up to the k-th neighbour; k = 5 is usual, with which equal laws cover .9688 of many
/// samples: 1 - 2^-k.
///
/// # Errors
/// At most k real samples, no generated ones, k = 0, different dimensions.
pub fn density_coverage(
    real: &Features,
    generated: &Features,
    k: usize,
    ball: Ball,
) -> Result<DensityCoverage, MetricError> {
    real.check_alike(generated)?;
    if generated.rows() == 0 {
        return Err(MetricError::TooFew { what: "density and coverage", needed: 1, got: 0 });
    }
    let inside = inside(real, &radii(real, k)?, generated, ball);
    let total: u64 = inside.balls_of_point.iter().map(|&n| u64::from(n)).sum();
    let covered = inside.point_in_ball.iter().filter(|&&any| any).count();
    Ok(DensityCoverage {
        density: total as f64 / (k * generated.rows()) as f64,
        coverage: covered as f64 / real.rows() as f64,
    })
}

/// Squared distance of every row to its k-th nearest other row.
///
/// # Errors
/// At most k rows, or k = 0.
pub fn radii(set: &Features, k: usize) -> Result<Vec<f64>, MetricError> {
    if k == 0 {
        return Err(MetricError::TooFew { what: "a neighbourhood (as k)", needed: 1, got: 0 });
    }
    if set.rows() <= k {
        let what = "a distance to the k-th neighbour";
        return Err(MetricError::TooFew { what, needed: k + 1, got: set.rows() });
    }
    let squares = norms(set);
    let found = map_blocks(set.rows(), BLOCK, |rows| {
        let near = Near::new(set, rows.clone(), &squares[rows.clone()], set, &squares);
        let mut order: Vec<(f64, usize)> = Vec::with_capacity(set.rows());
        rows.map(|row| {
            order.clear();
            order.extend((0..set.rows()).filter(|&other| other != row).map(|o| (near.square(row, o), o)));
            order.select_nth_unstable_by(k - 1, |a, b| a.0.total_cmp(&b.0));
            let least = order[k - 1].0;
            // Rounding may have exchanged those that are about as far: all of them are measured again.
            let slack = |other: usize| near.slack(row, other);
            let widest = order[..k].iter().fold(0.0f64, |m, &(_, o)| m.max(slack(o)));
            let close = order.iter().filter(|&&(s, o)| s - slack(o) <= least + widest);
            let mut exact: Vec<f64> =
                close.map(|&(_, o)| squared_distance(set.row(row), set.row(o))).collect();
            *exact.select_nth_unstable_by(k - 1, f64::total_cmp).1
        })
        .collect::<Vec<f64>>()
    });
    Ok(found.concat())
}

/// Which points lie in which balls.
struct Inside {
    /// For each point the balls that it lies in.
    balls_of_point: Vec<u32>,
    /// For each ball whether a point lies in it.
    point_in_ball: Vec<bool>,
}

fn inside(balls: &Features, radii: &[f64], points: &Features, ball: Ball) -> Inside {
    let (of_balls, of_points) = (norms(balls), norms(points));
    let found = map_blocks(points.rows(), BLOCK, |rows| {
        let near = Near::new(points, rows.clone(), &of_points[rows.clone()], balls, &of_balls);
        let mut any = vec![false; balls.rows()];
        let count = |row: usize| {
            let mut count = 0;
            for (centre, (&radius, any)) in radii.iter().zip(&mut any).enumerate() {
                let mut square = near.square(row, centre);
                if (square - radius).abs() <= near.slack(row, centre) {
                    square = squared_distance(points.row(row), balls.row(centre));
                }
                if ball.holds(square, radius) {
                    count += 1;
                    *any = true;
                }
            }
            count
        };
        let counts: Vec<u32> = rows.map(count).collect();
        (counts, any)
    });
    let mut point_in_ball = vec![false; balls.rows()];
    for (_, any) in &found {
        point_in_ball.iter_mut().zip(any).for_each(|(all, &one)| *all |= one);
    }
    Inside { balls_of_point: found.into_iter().flat_map(|(counts, _)| counts).collect(), point_in_ball }
}

/// Squared distances |a|^2 + |b|^2 - 2 a.b of some rows to all of another set, and how far rounding may put them off.
struct Near<'a> {
    first: usize,
    products: nalgebra::DMatrix<f64>,
    of_rows: &'a [f64],
    of_others: &'a [f64],
    /// Of a squared distance, in units of |a|^2 + |b|^2: sums of d products are off by at most d units in the last place
    /// of sum |a b| <= (|a|^2 + |b|^2) / 2 each, and a few more are lost in adding up.
    error: f64,
}

impl<'a> Near<'a> {
    fn new(
        set: &Features,
        rows: std::ops::Range<usize>,
        of_rows: &'a [f64],
        others: &Features,
        of_others: &'a [f64],
    ) -> Self {
        let error = (2 * set.dimensions() + 8) as f64 * f64::EPSILON;
        let first = rows.start;
        Self { first, products: products(set, rows, others, 0..others.rows()), of_rows, of_others, error }
    }

    fn square(&self, row: usize, other: usize) -> f64 {
        let row = row - self.first;
        self.of_rows[row] + self.of_others[other] - 2.0 * self.products[(row, other)]
    }

    fn slack(&self, row: usize, other: usize) -> f64 {
        self.error * (self.of_rows[row - self.first] + self.of_others[other])
    }
}

fn norms(set: &Features) -> Vec<f64> {
    (0..set.rows()).map(|row| set.row(row).iter().map(|x| x * x).sum()).collect()
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}
