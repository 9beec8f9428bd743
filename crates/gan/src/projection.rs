//! Projection: the code whose sample is most like a given image.

mod features;

pub use features::Features;

use crate::error::Error;
use crate::latent::{Codes, Space, Synthesizer};
use crate::step::{feed, projected};
use ganymede_cpu::PhaseId;

/// Latents that an optimizer may start from: the nearest of so many are taken.
const CANDIDATES: usize = 512;
/// Latents whose styles give mean and deviation of styles.
const STATISTICS: usize = 4096;
/// Candidates judged at once.
const BATCH: usize = 64;
/// Largest rate of Adam, in deviations of the codes a step.
const RATE: f64 = 0.1;
/// Share of the steps over which the rate rises from 0, and over which it falls to 0 again.
const RISE: f64 = 0.05;
const FALL: f64 = 0.25;

/// How long a projection looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Steps of the optimizer.
    pub steps: usize,
    /// Starting points, which are followed at once and of which the best end wins, unless the best start is better.
    pub restarts: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { steps: 500, restarts: 4 }
    }
}

/// What a projection found.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// The code: styles where the generator has them, else a latent.
    pub codes: Codes,
    /// Its sample.
    pub reconstruction: Vec<f32>,
    /// Distance of the sample from the target ([`Features::distance`]).
    pub distance: f64,
    /// Root of the mean squared difference of their values, which lie in [-1, 1].
    pub pixel_error: f64,
    /// Distance of the nearest candidate, where the optimizer began.
    pub start: f64,
    /// Distances that the restarts ended at.
    pub ends: Vec<f64>,
}

/// The learning rate at step `step` of `steps`: a linear rise, then constant, then half a cosine down to 0, as the projector
/// of StyleGAN2 has it (Karras et al. 2020, appendix D).
fn rate(step: usize, steps: usize) -> f64 {
    let t = step as f64 / steps as f64;
    let fall = ((1.0 - t) / FALL).min(1.0);
    let rise = ((t + 1.0 / steps as f64) / RISE).min(1.0);
    RATE * rise * (0.5 - 0.5 * (std::f64::consts::PI * fall).cos())
}

/// Mean and deviation of each number of a code, and how far from the mean candidates are at most: the mean square of their
/// distances in deviations.
struct Spread {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Spread {
    /// Of standard normals by definition, of styles as they are found.
    fn of(synthesizer: &mut Synthesizer<'_>, space: Space, width: usize) -> Result<Self, Error> {
        if space == Space::Latent {
            return Ok(Self { mean: vec![0.0; width], deviation: vec![1.0; width] });
        }
        let latents = synthesizer.latents(0, STATISTICS)?;
        let styles = synthesizer.styles(&latents)?;
        let count = styles.len() as f64;
        let column = |at: usize| (0..styles.len()).map(move |i| (i, at));
        let value = |(i, at): (usize, usize)| f64::from(styles.code(i)[at]);
        let (mut mean, mut deviation) = (Vec::with_capacity(width), Vec::with_capacity(width));
        for at in 0..width {
            let m = column(at).map(value).sum::<f64>() / count;
            let variance = column(at).map(|place| (value(place) - m).powi(2)).sum::<f64>() / count;
            mean.push(m as f32);
            // A style that never changes stays almost where it is.
            deviation.push(variance.sqrt().max(1e-6) as f32);
        }
        Ok(Self { mean, deviation })
    }

    fn units(&self, code: &[f32]) -> Vec<f32> {
        let at = |i: usize| (code[i] - self.mean[i]) / self.deviation[i];
        (0..code.len()).map(at).collect()
    }

    fn code(&self, units: &[f32]) -> Vec<f32> {
        let width = self.mean.len();
        units.iter().enumerate().map(|(i, u)| self.mean[i % width] + u * self.deviation[i % width]).collect()
    }
}

/// Looks for the code whose sample is nearest to `target`, an image in [-1, 1] of the recipe's shape, by gradient descent
/// on the code (Creswell, Bharath 2016; for styles Abdal, Qin, Wonka 2019, Image2StyleGAN, section 3): of 512 latents of the
/// seed the nearest `restarts` start, Adam moves them, and the nearest of the ends is the result, or the nearest start if none is
/// nearer. A conditional generator's
/// candidates are of the classes that are asked for, in turn, and keep theirs. `stepped` is called after each step.
///
/// # Errors
/// The target has another number of values; no steps or restarts; distances that are not finite, which a checkpoint with
/// such weights gives.
pub fn project(
    synthesizer: &mut Synthesizer<'_>,
    target: &[f32],
    effort: Effort,
    stepped: &mut dyn FnMut(),
) -> Result<Projection, Error> {
    let objective = synthesizer.objective();
    let expected: usize = objective.recipe.data.shape.iter().product();
    if target.len() != expected {
        return Err(Error::Refused(format!("the target has {} values, a sample {expected}", target.len())));
    }
    let Effort { steps, restarts } = effort;
    if steps == 0 || restarts == 0 || restarts > CANDIDATES {
        return Err(Error::Refused(format!(
            "{steps} steps and {restarts} restarts: expected at least 1 step and 1 to {CANDIDATES} restarts"
        )));
    }
    let space = if objective.generator.has_styles() { Space::Styles } else { Space::Latent };
    let features = Features::new(&objective.recipe.data.shape);
    let mut candidates = synthesizer.codes(0, CANDIDATES)?;
    if space == Space::Styles {
        candidates = synthesizer.styles(&candidates)?;
    }
    let spread = Spread::of(synthesizer, space, candidates.width())?;
    let units: Vec<Vec<f32>> = (0..candidates.len()).map(|i| spread.units(candidates.code(i))).collect();
    let square = |u: &[f32]| u.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / u.len() as f64;
    let reach = units.iter().map(|u| square(u)).fold(0.0, f64::max);

    let judge = Judge::new(synthesizer, space, &features, target)?;
    let distances = judge.distances(synthesizer, &candidates)?;
    let mut nearest: Vec<usize> = (0..candidates.len()).collect();
    // NaN is farther than every number.
    nearest.sort_by(|a, b| distances[*a].total_cmp(&distances[*b]));
    nearest.truncate(restarts);
    let start = finite(distances[nearest[0]])?;

    let function = objective.projection_phase(space, restarts, &features)?;
    let phase = synthesizer.session().add_phase("projection", &function)?;
    features.feed(synthesizer.session(), phase, target)?;
    let classes = candidates.classes().map(|c| nearest.iter().map(|i| c[*i]).collect::<Vec<_>>());
    let starts: Vec<f32> = nearest.iter().flat_map(|i| &units[*i]).copied().collect();
    // Feeds the classes too.
    let starts = Codes::new(space, candidates.shape(), starts, classes.clone())?;
    synthesizer.feed(phase, projected::CODES, &starts, 0..restarts)?;
    let session = synthesizer.session();
    session.feed_mut(phase, projected::MEAN)?.copy_from_slice(&spread.mean);
    session.feed_mut(phase, projected::DEVIATION)?.copy_from_slice(&spread.deviation);
    session.feed_mut(phase, projected::REACH)?[0] = reach as f32;
    for moment in [projected::FIRST_MOMENT, projected::SECOND_MOMENT] {
        session.feed_mut(phase, moment)?.fill(0.0);
    }
    for power in [projected::BETA1_POWER, projected::BETA2_POWER] {
        session.feed_mut(phase, power)?[0] = 1.0;
    }
    for step in 0..steps {
        session.feed_mut(phase, feed::LR)?[0] = rate(step, steps) as f32;
        session.run(phase)?;
        for name in [
            projected::CODES,
            projected::FIRST_MOMENT,
            projected::SECOND_MOMENT,
            projected::BETA1_POWER,
            projected::BETA2_POWER,
        ] {
            let new = session.output(phase, name).unwrap_or(&[]).to_vec();
            session.feed_mut(phase, name)?.copy_from_slice(&new);
        }
        stepped();
    }
    let ends = spread.code(session.output(phase, projected::CODES).unwrap_or(&[]));
    if ends.iter().any(|v| !v.is_finite()) {
        finite(f64::NAN)?;
    }
    let ends = Codes::new(space, candidates.shape(), ends, classes)?;
    let distances = judge.distances(synthesizer, &ends)?;
    let best = (0..restarts).min_by(|a, b| distances[*a].total_cmp(&distances[*b])).unwrap_or(0);
    // A few steps may lead away from where they began.
    let (codes, distance) = match distances[best] < start {
        true => (ends.some(best..best + 1), distances[best]),
        false => (candidates.some(nearest[0]..nearest[0] + 1), start),
    };
    let reconstruction = synthesizer.samples(&codes, &mut |_| {})?;
    let squares = reconstruction.iter().zip(target).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    Ok(Projection {
        pixel_error: (squares.sum::<f64>() / target.len() as f64).sqrt(),
        distance,
        codes,
        reconstruction,
        start,
        ends: distances,
    })
}

fn finite(distance: f64) -> Result<f64, Error> {
    if distance.is_finite() {
        return Ok(distance);
    }
    Err(Error::Refused(
        "the distances of samples from the image are not finite: the checkpoint's weights, or the image, are not".into(),
    ))
}

/// Distances of codes' samples from one target.
struct Judge {
    phase: PhaseId,
}

impl Judge {
    fn new(
        synthesizer: &mut Synthesizer<'_>,
        space: Space,
        features: &Features,
        target: &[f32],
    ) -> Result<Self, Error> {
        let function = synthesizer.objective().distance_phase(space, BATCH, features)?;
        let phase = synthesizer.session().add_phase("distance", &function)?;
        features.feed(synthesizer.session(), phase, target)?;
        Ok(Self { phase })
    }

    fn distances(&self, synthesizer: &mut Synthesizer<'_>, codes: &Codes) -> Result<Vec<f64>, Error> {
        let mut out = Vec::with_capacity(codes.len());
        for first in (0..codes.len()).step_by(BATCH) {
            let end = codes.len().min(first + BATCH);
            synthesizer.feed(self.phase, feed::CODES, codes, first..end)?;
            synthesizer.session().run(self.phase)?;
            let distances = synthesizer.session().output(self.phase, "distance").unwrap_or(&[]);
            out.extend(distances[..end - first].iter().map(|d| f64::from(*d)));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_stays_and_falls_to_nothing() {
        let rates: Vec<f64> = (0..200).map(|step| rate(step, 200)).collect();
        assert!(rates[0] > 0.0 && rates[..10].is_sorted_by(|a, b| a < b), "{:?}", &rates[..10]);
        assert!(rates[9..150].iter().all(|r| (r - RATE).abs() < 1e-12));
        assert!(rates[150..].is_sorted_by(|a, b| a >= b) && rates[199] < 0.01 * RATE, "{:?}", &rates[150..]);
        assert!((rate(0, 1) - RATE).abs() < 1e-12, "one step alone moves");
    }

    #[test]
    fn units_and_codes_are_inverse() {
        let spread = Spread { mean: vec![1.0, -2.0], deviation: vec![2.0, 0.5] };
        assert_eq!(spread.units(&[3.0, -2.5]), [1.0, -1.0]);
        assert_eq!(spread.code(&[1.0, -1.0, 0.0, 2.0]), [3.0, -2.5, 1.0, -1.0]);
    }
}
