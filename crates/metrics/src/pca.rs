//! Features in the plane, to be looked at: the two directions in which a set varies most.

use crate::error::MetricError;
use crate::features::Features;
use crate::stats::Random;
use nalgebra::{DMatrix, DVector};

/// Rounds of the power iteration on two directions at once: what is left of the third falls by the ratio of variances in
/// each, and a picture asks for no more.
const ROUNDS: usize = 60;

/// A map to the plane.
#[derive(Clone, Debug)]
pub struct Plane {
    mean: DVector<f64>,
    /// Two directions of length 1, `[dimensions, 2]`.
    axes: DMatrix<f64>,
    /// The share of the variance that the plane shows.
    pub explained: f64,
}

impl Plane {
    /// The two principal components of a set (Pearson 1901), by orthogonal iteration on the centred rows. Each axis points
    /// to where its largest entry is positive.
    ///
    /// # Errors
    /// Fewer than two rows, or one dimension alone.
    pub fn new(set: &Features) -> Result<Self, MetricError> {
        let (n, d) = (set.rows(), set.dimensions());
        if n < 2 || d < 2 {
            return Err(MetricError::TooFew { what: "principal components", needed: 2, got: n.min(d) });
        }
        let mut rows = DMatrix::from_column_slice(d, n, set.values());
        let mean = rows.column_mean();
        rows.column_iter_mut().for_each(|mut column| column -= &mean);
        let mut random = Random::new(0x7063_6121);
        let mut axes = orthonormal(DMatrix::from_fn(d, 2, |_, _| random.unit() - 0.5));
        for _ in 0..ROUNDS {
            axes = orthonormal(&rows * (rows.transpose() * &axes));
        }
        let seen = rows.transpose() * &axes;
        // The two may stand in either order after so few rounds.
        let of = |axis: usize| seen.column(axis).norm_squared();
        if of(0) < of(1) {
            axes.swap_columns(0, 1);
        }
        for mut axis in axes.column_iter_mut() {
            if axis[axis.iamax()] < 0.0 {
                axis.neg_mut();
            }
        }
        let total = rows.norm_squared();
        let explained = if total > 0.0 { (of(0) + of(1)) / total } else { 0.0 };
        Ok(Self { mean, axes, explained })
    }

    /// Where each row lies.
    ///
    /// # Errors
    /// Other dimensions.
    pub fn place(&self, set: &Features) -> Result<Vec<[f64; 2]>, MetricError> {
        let (expected, got) = (self.mean.len(), set.dimensions());
        if expected != got {
            return Err(MetricError::Length { what: "dimensions of features", expected, got });
        }
        let at = |row: usize, axis: usize| {
            let axis = self.axes.column(axis);
            let parts = set.row(row).iter().zip(self.mean.iter()).zip(axis.iter());
            parts.map(|((x, m), a)| (x - m) * a).sum::<f64>()
        };
        Ok((0..set.rows()).map(|row| [at(row, 0), at(row, 1)]).collect())
    }
}

/// Two columns made orthonormal (Gram and Schmidt); a column that vanishes becomes one of the axes of the space.
fn orthonormal(mut axes: DMatrix<f64>) -> DMatrix<f64> {
    for axis in 0..2 {
        let mut column = axes.column(axis).into_owned();
        for before in 0..axis {
            let other = axes.column(before).into_owned();
            column -= &other * other.dot(&column);
        }
        let norm = column.norm();
        if norm > 1e-300 && norm.is_finite() {
            column /= norm;
        } else {
            let free = if axis == 0 { 0 } else { (axes.column(0).iamax() + 1) % axes.nrows() };
            column.fill(0.0);
            column[free] = 1.0;
        }
        axes.set_column(axis, &column);
    }
    axes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axes_are_those_of_the_largest_variance() {
        let mut random = Random::new(11);
        // Variances 9, 4, and .01 in the others, along axes turned by 30 degrees in the first two.
        let (c, s) = (30f64.to_radians().cos(), 30f64.to_radians().sin());
        let mut normal = || (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
        let rows = (0..3000).flat_map(|_| {
            let (a, b) = (3.0 * normal(), 2.0 * normal());
            [c * a - s * b + 7.0, s * a + c * b, 0.1 * normal(), 0.1 * normal()]
        });
        let set = Features::new(rows.collect(), 4).unwrap();
        let plane = Plane::new(&set).unwrap();
        assert!(
            (plane.axes[(0, 0)] - c).abs() < 0.05 && (plane.axes[(1, 0)] - s).abs() < 0.06,
            "{}",
            plane.axes
        );
        assert!((plane.explained - 13.0 / 13.02).abs() < 0.002, "{}", plane.explained);
        let placed = plane.place(&set).unwrap();
        let spread = |axis: usize| placed.iter().map(|p| p[axis].powi(2)).sum::<f64>() / 3000.0;
        assert!(
            (spread(0) - 9.0).abs() < 0.8 && (spread(1) - 4.0).abs() < 0.4,
            "{} {}",
            spread(0),
            spread(1)
        );
        assert!(placed.iter().map(|p| p[0]).sum::<f64>().abs() < 1e-6);
    }

    #[test]
    fn sets_without_variance_have_a_place_too() {
        let same = Features::new(vec![2.0; 12], 3).unwrap();
        let plane = Plane::new(&same).unwrap();
        assert_eq!(plane.explained, 0.0);
        assert!(plane.place(&same).unwrap().iter().all(|p| *p == [0.0, 0.0]));
        assert!(Plane::new(&Features::new(vec![1.0, 2.0], 1).unwrap()).is_err());
        assert!(plane.place(&Features::new(vec![1.0; 2], 2).unwrap()).is_err());
    }
}
