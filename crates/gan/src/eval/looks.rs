//! What can be shown of an evaluation: samples, pairs, shares, a curve, a plane.

use super::checks::Pair;
use super::collect::Collected;
use crate::error::Error;
use crate::extractors::best_of;
use ganymede_metrics::Features;
use ganymede_metrics::cells::Cells;
use ganymede_metrics::law::shares;
use ganymede_metrics::pca::Plane;

/// Samples in the grid.
const GRID: usize = 64;
/// Cells that the curve is made over, as in its paper; clusterings that it is a mean over; samples of either side that these are found
/// from; and angles on it.
pub(super) const CELLS: usize = 20;
pub(super) const CLUSTERINGS: u64 = 5;
const CLUSTERED: usize = 2_500;
const ANGLES: usize = 61;
/// Points of either side in the plane.
const POINTS: usize = 1_500;
/// Most classes with a bar of their own.
const BARS: usize = 100;

/// A class with its shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// The class.
    pub name: String,
    /// Its share among real samples.
    pub real: f64,
    /// Its share among generated ones.
    pub generated: f64,
}

/// Precision over recall for every weight between them, over cells of both sets together (Sajjadi et al. 2018, sections 3.2 and 3.3).
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Recall and precision at each weight.
    pub points: Vec<[f64; 2]>,
    /// The same of half the real samples against the other half.
    pub of_real: Vec<[f64; 2]>,
}

/// Features in the plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    /// Real samples.
    pub real: Vec<[f64; 2]>,
    /// Generated ones.
    pub generated: Vec<[f64; 2]>,
    /// The share of the real variance that the plane shows.
    pub explained: f64,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Looks {
    /// Shape of a sample.
    pub shape: Vec<usize>,
    /// The first generated samples.
    pub samples: Vec<f32>,
    /// Generated samples beside the training samples nearest to them.
    pub pairs: Vec<Pair>,
    /// Shares of classes, where a classifier looked.
    pub bars: Vec<Bar>,
    /// Precision and recall.
    pub curve: Option<Curve>,
    /// The plane.
    pub scatter: Option<Scatter>,
}

impl Looks {
    pub(super) fn of(
        shape: &[usize],
        real: &Collected,
        generated: &Collected,
        classes: Option<usize>,
        names: &[String],
        pairs: Vec<Pair>,
    ) -> Result<Self, Error> {
        let size: usize = shape.iter().product();
        let samples = generated.kept[..generated.kept.len().min(GRID * size)].to_vec();
        let first = |set: &Features| set.select(0..set.rows().min(POINTS));
        let plane = Plane::new(&real.features).ok();
        let scatter = plane.map(|plane| -> Result<Scatter, Error> {
            let (real, generated) = (first(&real.features), first(&generated.features));
            Ok(Scatter {
                real: plane.place(&real)?,
                generated: plane.place(&generated)?,
                explained: plane.explained,
            })
        });
        let bars = classes.map_or_else(Vec::new, |classes| bars(real, generated, classes, names));
        let curve = curve(&real.features, &generated.features)?;
        Ok(Self { shape: shape.to_vec(), samples, pairs, bars, curve, scatter: scatter.transpose()? })
    }
}

/// Shares of classes; of samples that are classified in parts, of the parts together.
fn bars(real: &Collected, generated: &Collected, classes: usize, names: &[String]) -> Vec<Bar> {
    let of = |seen: &Collected| {
        let mut counts = vec![0; classes];
        for row in seen.probabilities.iter().flat_map(|p| p.chunks_exact(classes)) {
            counts[best_of(row)] += 1;
        }
        shares(&counts)
    };
    if classes > BARS {
        return Vec::new();
    }
    let name = |class: usize| names.get(class).filter(|_| names.len() == classes).cloned();
    let both = of(real).into_iter().zip(of(generated)).enumerate();
    both.map(|(class, (real, generated))| Bar {
        name: name(class).unwrap_or_else(|| class.to_string()),
        real,
        generated,
    })
    .collect()
}

fn curve(real: &Features, generated: &Features) -> Result<Option<Curve>, Error> {
    if real.rows() < 2 * CELLS || generated.rows() < CELLS {
        return Ok(None);
    }
    let half = |odd: usize| real.select((0..real.rows()).filter(|row| row % 2 == odd).collect::<Vec<_>>());
    let halves = [half(0), half(1)];
    // As many of either, so that samples that lie where no real ones do have cells of their own.
    let few = real.rows().min(generated.rows()).min(CLUSTERED);
    let mut both = real.select(0..few);
    both.push(generated.select(0..few).values())?;
    let (mut points, mut of_real) = (Vec::new(), Vec::new());
    for seed in 0..CLUSTERINGS {
        let cells = Cells::new(&both, CELLS, seed)?;
        let of = |set: &Features| -> Result<Vec<f64>, Error> { Ok(shares(&cells.counts(set)?)) };
        points.push(precision_recall_curve(&of(real)?, &of(generated)?));
        of_real.push(precision_recall_curve(&of(&halves[0])?, &of(&halves[1])?));
    }
    Ok(Some(Curve { points: mean(&points), of_real: mean(&of_real) }))
}

/// The mean of curves at each weight.
fn mean(curves: &[Vec<[f64; 2]>]) -> Vec<[f64; 2]> {
    let at =
        |i: usize, axis: usize| curves.iter().map(|curve| curve[i][axis]).sum::<f64>() / curves.len() as f64;
    (0..ANGLES).map(|i| [at(i, 0), at(i, 1)]).collect()
}

/// At weight l: precision sum min(l p, q), recall sum min(p, q / l), for l from nearly 0 to nearly infinite.
fn precision_recall_curve(p: &[f64], q: &[f64]) -> Vec<[f64; 2]> {
    let angle = |i: usize| (i as f64 + 0.5) / ANGLES as f64 * std::f64::consts::FRAC_PI_2;
    (0..ANGLES)
        .map(|i| {
            let l = angle(i).tan();
            let precision: f64 = p.iter().zip(q).map(|(p, q)| (l * p).min(*q)).sum();
            [(precision / l).min(1.0), precision.min(1.0)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_has_the_corners_that_its_paper_derives() {
        // Equal laws: at l = 1 both are 1.
        let points = precision_recall_curve(&[0.5, 0.5], &[0.5, 0.5]);
        let best = points.iter().map(|p| p[0].min(p[1])).fold(0.0, f64::max);
        assert!(best > 0.99, "{best}");
        // Half the data missing, all samples good: precision 1 is reached, recall stays at one half.
        let points = precision_recall_curve(&[0.5, 0.5], &[1.0, 0.0]);
        let most = |axis: usize| points.iter().map(|p| p[axis]).fold(0.0, f64::max);
        assert!((most(1) - 1.0).abs() < 1e-12 && (most(0) - 0.5).abs() < 1e-9, "{points:?}");
        // The other way round: half of the samples are not of the data.
        let points = precision_recall_curve(&[1.0, 0.0], &[0.5, 0.5]);
        let most = |axis: usize| points.iter().map(|p| p[axis]).fold(0.0, f64::max);
        assert!((most(1) - 0.5).abs() < 1e-12 && (most(0) - 1.0).abs() < 1e-9, "{points:?}");
    }

    /// Half of the samples lie where no real ones do: among the real samples' own cells they would count as good.
    #[test]
    fn samples_off_the_data_cost_precision() {
        let mut random = ganymede_metrics::stats::Random::new(3);
        let mut draw = |count: usize, far: bool| {
            let value = |i: usize, random: &mut ganymede_metrics::stats::Random| {
                random.normal() + if far && (i / 2).is_multiple_of(2) { 30.0 } else { 0.0 }
            };
            Features::new((0..2 * count).map(|i| value(i, &mut random)).collect(), 2).unwrap()
        };
        let (real, off) = (draw(2000, false), draw(2000, true));
        let found = curve(&real, &off).unwrap().unwrap();
        let most = |points: &[[f64; 2]], axis: usize| points.iter().map(|p| p[axis]).fold(0.0, f64::max);
        assert!(most(&found.points, 1) < 0.52 && most(&found.points, 0) > 0.9, "{:?}", found.points);
        assert!(most(&found.of_real, 1) > 0.95 && most(&found.of_real, 0) > 0.95);
        let twin = Cells::new(&real, CELLS, 0).unwrap();
        let of = |set: &Features| shares(&twin.counts(set).unwrap());
        assert!(
            most(&precision_recall_curve(&of(&real), &of(&off)), 1) > 0.9,
            "cells of the real samples alone are blind"
        );
    }
}
