//! The Frechet distance class by class (Miyato and Koyama 2018, section 4: intra-FID): between the samples of a class and
//! the real ones of that class, averaged over classes. Samples that are good but of another class than asked for raise
//! it, and leave the distance of the whole sets as it is.

use crate::error::MetricError;
use crate::features::Features;
use crate::frechet::frechet_distance;
use crate::influence::{FEWEST, influence};
use crate::stats::{Interval, normal_quantile};

/// Distances of classes.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassFrechet {
    /// Mean over the classes.
    pub mean: f64,
    /// Of each class.
    pub distances: Vec<f64>,
    /// Samples of the class that has fewest, on either side.
    pub fewest: usize,
}

/// A labelled set.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// Features.
    pub features: &'a Features,
    /// The class of each row, below the number of classes.
    pub labels: &'a [i32],
}

impl Labelled<'_> {
    /// The rows of each class.
    fn by_class(&self, classes: usize) -> Result<Vec<Vec<usize>>, MetricError> {
        let (expected, got) = (self.features.rows(), self.labels.len());
        if expected != got {
            return Err(MetricError::Length { what: "labels", expected, got });
        }
        let mut rows = vec![Vec::new(); classes];
        for (index, &label) in self.labels.iter().enumerate() {
            let of_class = usize::try_from(label).ok().and_then(|label| rows.get_mut(label));
            of_class
                .ok_or(MetricError::Value {
                    what: "the class of sample",
                    index,
                    value: f64::from(label),
                    expected: "a class that there is",
                })?
                .push(index);
        }
        Ok(rows)
    }
}

/// The distance between two labelled sets.
///
/// # Errors
/// Fewer than two samples of some class on either side, labels that do not fit, different dimensions, no classes.
pub fn class_frechet(
    real: Labelled<'_>,
    generated: Labelled<'_>,
    classes: usize,
) -> Result<ClassFrechet, MetricError> {
    let mut distances = Vec::with_capacity(classes);
    let fewest = each_class(real, generated, classes, |a, b| {
        distances.push(frechet_distance(a, b)?);
        Ok(())
    })?;
    Ok(ClassFrechet { mean: distances.iter().sum::<f64>() / classes as f64, distances, fewest })
}

/// The distance, and an interval of confidence `level` of the mean. Classes have samples of their own, so that variances of their
/// distances add up; there is none where a class has fewer than [`FEWEST`] on either side.
///
/// # Errors
/// As [`class_frechet`] and [`influence`]; a level outside (0, 1).
pub fn class_frechet_interval(
    real: Labelled<'_>,
    generated: Labelled<'_>,
    classes: usize,
    level: f64,
) -> Result<(ClassFrechet, Option<Interval>), MetricError> {
    let found = class_frechet(real, generated, classes)?;
    let quantile = normal_quantile(level)?;
    if found.fewest < FEWEST {
        return Ok((found, None));
    }
    let mut square = 0.0;
    each_class(real, generated, classes, |a, b| {
        square += influence(a, b)?.error().powi(2);
        Ok(())
    })?;
    let interval = Interval::about(found.mean, quantile * square.sqrt() / classes as f64);
    Ok((found, Some(interval)))
}

/// Gives the real and the generated samples of each class to `work`, and returns how many the class has that has fewest on either
/// side.
fn each_class(
    real: Labelled<'_>,
    generated: Labelled<'_>,
    classes: usize,
    mut work: impl FnMut(&Features, &Features) -> Result<(), MetricError>,
) -> Result<usize, MetricError> {
    real.features.check_alike(generated.features)?;
    let (of_real, of_generated) = (real.by_class(classes)?, generated.by_class(classes)?);
    let mut fewest = usize::MAX;
    for (class, (a, b)) in of_real.iter().zip(&of_generated).enumerate() {
        let few = a.len().min(b.len());
        if few < 2 {
            let what = "the Frechet distance of class";
            return Err(MetricError::Class { what, class, needed: 2, got: few });
        }
        fewest = fewest.min(few);
        let [a, b] = [(real, a), (generated, b)].map(|(of, rows)| of.features.select(rows.iter().copied()));
        work(&a, &b)?;
    }
    match classes {
        0 => Err(MetricError::TooFew { what: "a distance of classes", needed: 1, got: 0 }),
        _ => Ok(fewest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    #[test]
    fn exchanged_classes_are_seen_and_the_whole_set_is_blind_to_them() {
        let mut random = Random::new(3);
        let labels: Vec<i32> = (0..400).map(|i| i % 2).collect();
        let draw = |random: &mut Random| {
            let values = labels.iter().flat_map(|&l| [f64::from(6 * l) + random.unit(), random.unit()]);
            Features::new(values.collect(), 2).unwrap()
        };
        let (a, b) = (draw(&mut random), draw(&mut random));
        let of = |labels: &[i32]| {
            class_frechet(
                Labelled { features: &a, labels: &alternating() },
                Labelled { features: &b, labels },
                2,
            )
        };
        let right = of(&labels).unwrap();
        assert!(right.mean < 0.01 && right.distances.len() == 2 && right.fewest == 200, "{right:?}");
        let exchanged: Vec<i32> = labels.iter().map(|l| 1 - l).collect();
        let wrong = of(&exchanged).unwrap();
        // Means 6 apart: 36 in either class.
        assert!((wrong.mean - 36.0).abs() < 1.0, "{wrong:?}");
        assert!(frechet_distance(&a, &b).unwrap() < 0.01);
        // A class lost, labels that do not fit.
        let lost = of(&vec![0; 400]).unwrap_err().to_string();
        assert!(lost.contains("class 1") && lost.contains("got 0"), "{lost}");
        assert!(of(&labels[1..]).is_err());
        assert!(of(&vec![2; 400]).unwrap_err().to_string().contains("sample 0 is 2"));
    }

    fn alternating() -> Vec<i32> {
        (0..400).map(|i| i % 2).collect()
    }

    #[test]
    fn it_is_the_mean_of_the_classes_own_distances() {
        let set = |values: &[f64]| Features::new(values.to_vec(), 1).unwrap();
        let (a, b) = (set(&[0.0, 2.0, 10.0, 12.0]), set(&[1.0, 3.0, 10.0, 12.0]));
        let labels = [0, 0, 1, 1];
        let found = class_frechet(
            Labelled { features: &a, labels: &labels },
            Labelled { features: &b, labels: &labels },
            2,
        )
        .unwrap();
        assert!((found.distances[0] - 1.0).abs() < 1e-12 && found.distances[1].abs() < 1e-12, "{found:?}");
        assert!((found.mean - 0.5).abs() < 1e-12);
        let few = Labelled { features: &a, labels: &labels };
        assert!(class_frechet_interval(few, few, 2, 0.9).unwrap().1.is_none());
    }

    /// Classes of unequal spread, each with a distance of its own: the interval holds the distance of the laws, with the bias that
    /// such numbers of samples have, about as often as it says.
    #[test]
    fn intervals_of_the_mean_hold_it() {
        let (rounds, each) = (120, 150);
        let labels: Vec<i32> = (0..2 * each).map(|i| i % 2).collect();
        let mut random = Random::new(9);
        let mut draw = |shift: f64| {
            let values =
                labels.iter().map(|&l| random.normal() * f64::from(1 + l) + shift * f64::from(1 + l));
            Features::new(values.collect(), 1).unwrap()
        };
        let found: Vec<Interval> = (0..rounds)
            .map(|_| {
                let (a, b) = (draw(0.0), draw(1.0));
                let of = |features| Labelled { features, labels: &labels };
                let (whole, found) = class_frechet_interval(of(&a), of(&b), 2, 0.9).unwrap();
                assert_eq!(whole, class_frechet(of(&a), of(&b), 2).unwrap());
                found.unwrap()
            })
            .collect();
        let mean = found.iter().map(|found| found.estimate).sum::<f64>() / f64::from(rounds);
        // Shifts of one deviation: 1 and 4, two hundredths of which are bias.
        assert!((mean - 2.5).abs() < 0.1, "{mean}");
        let held = |scale: f64| {
            let holds =
                |found: &&Interval| (mean - found.estimate).abs() <= scale * (found.high - found.estimate);
            found.iter().filter(holds).count()
        };
        // 108 of 120 expected, with four standard deviations of 3.3; a wrong twin has half the width.
        assert!((95..=119).contains(&held(1.0)), "{}", held(1.0));
        assert!(held(0.5) < 95, "{}", held(0.5));
    }
}
