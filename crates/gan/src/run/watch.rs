//! What goes wrong while a run trains, named when it happens: samples that are all alike, a generator that makes one image
//! whatever it is given, a discriminator that knows its training samples by heart. A few samples a tick are compared, with
//! the real data's own variety and with held-out samples; a fault is named once it has lasted for some ticks.

use super::{Observer, Run};
use crate::error::Error;
use crate::eval::checks::{Rough, SCALES, Verdict, spaced};
use crate::judge::Judge;
use crate::sampler::Asked;
use crate::step::Objective;
use ganymede_cpu::Session;
use ganymede_data::Dataset;
use ganymede_metrics::collisions::{Collisions, collisions, distances_at};
use serde::Serialize;

/// Real samples whose pairs say what variety is, and the fewest that can.
const REAL: usize = 512;
const FEWEST_REAL: usize = 200;
/// Generated images that are compared, and points.
const IMAGES: usize = 128;
const POINTS: usize = 512;
/// Training samples and held-out ones that the discriminator is asked about.
const ASKED: usize = 128;
/// Ticks that a fault lasts before it is named: a generator that swings past one is not there to stay.
const LASTING: u32 = 3;
/// Generator steps before anything is named, and half-lives of the average: a young generator makes one image whatever it is
/// given, and an average has to follow it first.
const YOUNG: u64 = 500;
const HALF_LIVES: f64 = 2.0;
/// How many times as often as real ones samples collide, coarsely and finely, from which on they are all alike. Coarsely more
/// than where a finished run is checked: young runs that come out well have been seen at four times.
const TIMES: [f64; 2] = [6.0, 25.0];
/// Deviations that make a share of colliding pairs certain.
const SURE: f64 = 4.0;
/// The share of pairs nearly the same from which on all samples are one.
const ONE: f64 = 0.9;
/// Probability of held-out samples this far below training ones where nothing is wrong, each tick.
const LEVEL: f64 = 1e-4;

/// A fault of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// Samples are far more alike than real ones.
    Collapse,
    /// All samples are one, or nothing changes any more.
    DeadGenerator,
    /// The discriminator knows its training samples by heart.
    Overfitting,
}

impl Trouble {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Collapse, Self::DeadGenerator, Self::Overfitting];

    /// In a word or two.
    pub fn name(self) -> &'static str {
        match self {
            Self::Collapse => "collapse",
            Self::DeadGenerator => "dead generator",
            Self::Overfitting => "overfitting",
        }
    }

    fn sentence(self, seen: &Seen) -> String {
        let [kind, same] = seen.variety;
        match self {
            Self::Collapse => format!(
                "collapse: two samples are {kind:.1} times as often of the same kind as two real ones, and {same:.0} times as \
                 often nearly the same. A stronger gamma, a lower lr or an earlier checkpoint may help"
            ),
            Self::DeadGenerator => {
                "dead generator: it makes one image whatever the latent is, or has stopped changing. Look \
                                    at the samples; a lower lr or a weaker discriminator may help"
                    .into()
            }
            Self::Overfitting => format!(
                "overfitting: held-out samples lie {:.0} % of the way from training to generated ones for the discriminator. \
                 Augmentation (augment.*), more data or a shorter run may help",
                100.0 * seen.overfitting.unwrap_or(0.0)
            ),
        }
    }
}

/// What a tick's samples were like.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// How many times as often two samples are of a kind, and nearly the same, as two real ones.
    pub variety: [f64; 2],
    /// How far held-out samples lie on the way from training to generated ones, by the discriminator's logits.
    pub overfitting: Option<f64>,
    /// Faults that have lasted.
    pub trouble: Vec<Trouble>,
}

/// Training and held-out samples, with their classes.
struct HeldOut {
    judge: Judge,
    training: (Vec<f32>, Vec<i32>),
    held_out: (Vec<f32>, Vec<i32>),
}

/// What samples of a run are compared with.
pub(super) struct Watch {
    rough: Rough,
    /// Squared distances at which pairs collide, coarse and fine.
    near: [f64; 2],
    wanted: usize,
    held_out: Option<HeldOut>,
    /// Samples of the last tick.
    last: Vec<f32>,
    /// Ticks in a row with each fault.
    lasting: [u32; 3],
    told: Vec<Trouble>,
}

/// Bytes that watching samples of this shape takes: those of two ticks and, of images, training and held-out ones; and, as the
/// real ones are compared, the squared distances of all pairs twice and rows of products for two threads.
pub(crate) fn held_bytes(shape: &[usize]) -> usize {
    const ROWS: usize = 128;
    let samples = if shape.len() == 3 { 2 * IMAGES + 2 * ASKED } else { 2 * POINTS };
    let pairs = REAL * (REAL - 1) / 2;
    samples * shape.iter().product::<usize>() * size_of::<f32>()
        + (2 * pairs + 2 * ROWS * REAL) * size_of::<f64>()
}

/// Whether each fault is there.
fn faults(found: &[Collisions; 2], still: bool, verdict: Option<&Verdict>) -> [bool; 3] {
    let sure = |at: usize| found[at].at_least(SURE);
    let alike = (0..2).any(|at| sure(at) > TIMES[at] * SCALES[at].share);
    // A share of 1 has no deviation.
    let dead = still || sure(1) > ONE;
    [alike && !dead, dead, verdict.is_some_and(|verdict| verdict.overfits(LEVEL))]
}

impl Watch {
    /// `None` of data with too few samples to say what variety is, or with values that are not finite.
    pub(super) fn new(dataset: &Dataset) -> Result<Option<Self>, Error> {
        if dataset.len().is_some_and(|items| items < FEWEST_REAL as u64) {
            return Ok(None);
        }
        let (real, _) = spaced(dataset, REAL)?;
        if real.iter().any(|value| !value.is_finite()) {
            return Ok(None);
        }
        let rough = Rough::plain(dataset.shape());
        let shares = [SCALES[0].share, SCALES[1].share];
        let near = distances_at(&rough.see(&real)?, &shares)?;
        let wanted = if dataset.shape().len() == 3 { IMAGES } else { POINTS };
        let near = [near[0], near[1]];
        Ok(Some(Self {
            rough,
            near,
            wanted,
            held_out: None,
            last: Vec::new(),
            lasting: [0; 3],
            told: Vec::new(),
        }))
    }

    /// Samples that it wants.
    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    /// With held-out samples, to see whether the discriminator knows training samples by heart.
    fn holding_out(
        &mut self,
        objective: &Objective,
        session: &mut Session,
        training: &Dataset,
        held_out: &Dataset,
    ) -> Result<(), Error> {
        let judge = match Judge::of_many(objective, session) {
            Ok(judge) => judge,
            // Packs of samples have no logits of their own.
            Err(Error::Unsuited(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let some = |set: &Dataset| -> Result<(Vec<f32>, Vec<i32>), Error> {
            let (samples, labels) = spaced(set, ASKED)?;
            Ok((samples, labels.unwrap_or_default()))
        };
        self.held_out = Some(HeldOut { judge, training: some(training)?, held_out: some(held_out)? });
        Ok(())
    }

    /// Looks at the samples of a tick; `old` says whether the run is old enough for faults to be named.
    fn look(
        &mut self,
        objective: &Objective,
        session: &mut Session,
        samples: &[f32],
        old: bool,
    ) -> Result<Option<Seen>, Error> {
        let size: usize = objective.recipe.data.shape.iter().product();
        let samples = &samples[..samples.len().min(self.wanted * size)];
        if samples.iter().any(|value| !value.is_finite()) {
            // The guard against divergence has the word then.
            return Ok(None);
        }
        let seen = self.rough.see(samples)?;
        let found = [collisions(&seen, self.near[0])?, collisions(&seen, self.near[1])?];
        let half = 0.5 / 127.5;
        let still = self.last.len() == samples.len()
            && self.last.iter().zip(samples).all(|(before, now)| (before - now).abs() < half);
        self.last = samples.to_vec();
        let verdict = self.verdict(objective, session, samples)?;
        for (lasting, fault) in self.lasting.iter_mut().zip(faults(&found, still, verdict.as_ref())) {
            *lasting = if fault && old { *lasting + 1 } else { 0 };
        }
        let trouble =
            Trouble::ALL.into_iter().zip(self.lasting).filter(|(_, n)| *n >= LASTING).map(|(t, _)| t);
        Ok(Some(Seen {
            variety: [0, 1].map(|at: usize| found[at].share / SCALES[at].share),
            overfitting: verdict.map(|verdict| verdict.share),
            trouble: trouble.collect(),
        }))
    }

    fn verdict(
        &self,
        objective: &Objective,
        session: &mut Session,
        samples: &[f32],
    ) -> Result<Option<Verdict>, Error> {
        let Some(HeldOut { judge, training, held_out }) = &self.held_out else { return Ok(None) };
        let mut logits = |samples: &[f32], labels: &[i32]| -> Result<Vec<f64>, Error> {
            let found = judge.logits(objective, session, samples, labels)?;
            Ok(found.into_iter().map(f64::from).collect())
        };
        let size: usize = objective.recipe.data.shape.iter().product();
        let classes = objective.recipe.data.classes.unwrap_or(1);
        let asked: Vec<i32> =
            (0..(samples.len() / size) as u64).map(|i| Asked::Each.class(i, classes) as i32).collect();
        let of_training = logits(&training.0, &training.1)?;
        let of_held_out = logits(&held_out.0, &held_out.1)?;
        let of_generated = logits(samples, &asked)?;
        if of_training.is_empty() || of_held_out.is_empty() || of_generated.is_empty() {
            return Ok(None);
        }
        Ok(Verdict::of(&of_training, &of_held_out, &of_generated).ok())
    }
}

impl Run {
    /// Watches for a discriminator that knows its training samples by heart, with samples that it is not trained on. Sets
    /// without an end, of another shape or of too few samples are passed over.
    ///
    /// # Errors
    /// The discriminator cannot be compiled, or the samples not be read.
    pub fn watch_held_out(&mut self, held_out: &Dataset) -> Result<(), Error> {
        let enough =
            |set: &Dataset| set.len().is_some_and(|items| items as usize >= crate::eval::checks::FEWEST);
        let alike = held_out.shape() == self.dataset.shape()
            && held_out.classes().map(<[String]>::len) == self.dataset.classes().map(<[String]>::len);
        if !alike || !enough(held_out) || !enough(&self.dataset) || held_out.hash() == self.dataset.hash() {
            return Ok(());
        }
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let (objective, session) = self.trainer.parts_mut();
        watch.holding_out(objective, session, &self.dataset, held_out)
    }

    /// Looks at the samples of a tick, and says what is wrong when it begins and when it is over.
    pub(super) fn look(
        &mut self,
        samples: &[f32],
        observer: &mut dyn Observer,
    ) -> Result<Option<Seen>, Error> {
        let progress = self.trainer.progress();
        let (images, total) = (progress.images, progress.total_images);
        let ema = self.trainer.objective().recipe.ema.as_ref();
        let half_life = ema.map_or(0.0, |ema| {
            let usual = ema.half_life.at(images, total);
            ema.ramp.map_or(usual, |ramp| usual.min(ramp * images as f64))
        });
        let old = progress.step >= YOUNG && images as f64 >= HALF_LIVES * half_life;
        let Some(watch) = &mut self.watch else { return Ok(None) };
        let (objective, session) = self.trainer.parts_mut();
        let Some(seen) = watch.look(objective, session, samples, old)? else { return Ok(None) };
        for trouble in Trouble::ALL {
            match (watch.told.contains(&trouble), seen.trouble.contains(&trouble)) {
                (false, true) => observer.note(&trouble.sentence(&seen)),
                (true, false) => observer.note(&format!("{} is over", trouble.name())),
                (true, true) | (false, false) => {}
            }
        }
        watch.told.clone_from(&seen.trouble);
        Ok(Some(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(share: f64) -> Collisions {
        Collisions { pairs: (share * 8128.0) as u64, share, deviation: share * (1.0 - share) / 20.0 }
    }

    #[test]
    fn each_fault_has_its_own_sign() {
        assert_eq!(faults(&[share(0.12), share(0.002)], false, None), [false; 3]);
        // A kind alone, few images, one image, nothing that moves.
        assert_eq!(faults(&[share(0.7), share(0.02)], false, None), [true, false, false]);
        assert_eq!(faults(&[share(0.25), share(0.1)], false, None), [true, false, false]);
        assert_eq!(faults(&[share(1.0), share(1.0)], false, None), [false, true, false]);
        assert_eq!(faults(&[share(0.1), share(0.001)], true, None), [false, true, false]);
        let logits = |mean: f64| (0..128).map(|i| mean + 0.01 * f64::from(i)).collect::<Vec<_>>();
        let verdict = Verdict::of(&logits(9.0), &logits(5.0), &logits(1.0)).unwrap();
        assert_eq!(faults(&[share(0.1), share(0.001)], false, Some(&verdict)), [false, false, true]);
        let healthy = Verdict::of(&logits(5.2), &logits(5.0), &logits(1.0)).unwrap();
        assert_eq!(faults(&[share(0.1), share(0.001)], false, Some(&healthy)), [false; 3]);
    }
}
