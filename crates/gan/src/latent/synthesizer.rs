//! Codes of a seed, and samples of codes.

use super::codes::{Codes, Space};
use crate::error::Error;
use crate::sampler::{Asked, batch_for, sampling_key};
use crate::step::{Objective, feed};
use ganymede_cpu::{PhaseId, Session};

/// What a program computes. Factors are bits, so that programs can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    /// Latents of indices.
    Latents { truncation: Option<u64> },
    /// Styles of latents.
    Styles { truncation: Option<u64> },
    /// Samples of codes.
    Samples { space: Space, truncation: Option<u64> },
}

/// Makes codes and samples with the (averaged) generator of the state in a session, through programs of a few sizes that
/// are compiled when first needed. Code `i` of a seed is that of sample `i` of [`Sampler`](crate::sampler::Sampler).
pub struct Synthesizer<'a> {
    objective: &'a Objective,
    session: &'a mut Session,
    key: [u32; 2],
    truncation: Option<f64>,
    asked: Asked,
    given: Option<Codes>,
    programs: Vec<(Program, usize, PhaseId)>,
}

impl<'a> Synthesizer<'a> {
    /// For the latents of a seed.
    pub fn new(objective: &'a Objective, session: &'a mut Session, seed: u64) -> Self {
        Self {
            objective,
            session,
            key: sampling_key(seed),
            truncation: None,
            asked: Asked::Each,
            given: None,
            programs: Vec::new(),
        }
    }

    /// With truncation: a threshold of latents, or a factor on styles where the generator has them.
    pub fn truncated(self, psi: f64) -> Self {
        Self { truncation: Some(psi), ..self }
    }

    /// Of these classes, where the recipe has classes.
    ///
    /// # Errors
    /// A class that the recipe does not have.
    pub fn of_classes(self, asked: Asked) -> Result<Self, Error> {
        asked.check(self.objective)?;
        Ok(Self { asked, ..self })
    }

    /// With codes that take the place of the seed's first.
    ///
    /// # Errors
    /// They are not what this generator makes samples of.
    pub fn with_codes(self, codes: Codes) -> Result<Self, Error> {
        let name = &self.objective.recipe.name;
        let expected = self.objective.code_shape(codes.space());
        if expected.as_deref() != Some(codes.shape()) {
            let own = match expected {
                Some(shape) => format!("{shape:?}"),
                None => "none".into(),
            };
            return Err(Error::Refused(format!(
                "the codes are {:?} of shape {:?}, recipe `{name}` has {own}: use codes of a run of this recipe",
                codes.space(),
                codes.shape(),
            )));
        }
        let classes = self.objective.recipe.data.classes;
        let codes = match (classes, codes.classes()) {
            (None, _) => codes.with_classes(None),
            (Some(classes), Some(own)) => {
                if let Some(class) = own.iter().find(|class| **class >= classes) {
                    return Err(Error::Refused(format!(
                        "a code is of class {class}, recipe `{name}` has {classes}, from 0 on"
                    )));
                }
                codes
            }
            (Some(classes), None) => {
                let own = (0..codes.len()).map(|i| self.asked.class(i as u64, classes)).collect();
                codes.with_classes(Some(own))
            }
        };
        Ok(Self { given: Some(codes), ..self })
    }

    /// What samples are made for.
    pub fn objective(&self) -> &'a Objective {
        self.objective
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        self.session
    }

    /// Latents `first..first + count` of the seed.
    ///
    /// # Errors
    /// A truncation out of range, or what compiling and running say.
    pub fn latents(&mut self, first: u64, count: usize) -> Result<Codes, Error> {
        self.latents_at(self.truncation, first, count)
    }

    /// The same under another truncation.
    pub(super) fn latents_at(
        &mut self,
        truncation: Option<f64>,
        first: u64,
        count: usize,
    ) -> Result<Codes, Error> {
        let dim = self.objective.recipe.latent.dim;
        let mut values = Vec::with_capacity(count * dim);
        while values.len() < count * dim {
            let (index, left) = (first + (values.len() / dim) as u64, count - values.len() / dim);
            let batch = batch_for(self.objective, left);
            let phase = self.program(Program::Latents { truncation: truncation.map(f64::to_bits) }, batch)?;
            self.session.feed_words_mut(phase, feed::KEY)?.copy_from_slice(&self.key);
            let place = [index as u32, (index >> 32) as u32];
            self.session.feed_words_mut(phase, feed::FIRST)?.copy_from_slice(&place);
            self.session.run(phase)?;
            let latents = self.session.output(phase, "latent").unwrap_or(&[]);
            values.extend_from_slice(&latents[..left.min(batch) * dim]);
        }
        let classes = self
            .objective
            .recipe
            .data
            .classes
            .map(|classes| (0..count as u64).map(|i| self.asked.class(first + i, classes)).collect());
        Codes::new(Space::Latent, &[dim], values, classes)
    }

    /// Codes `first..first + count`: those that were given where they reach, the seed's latents behind them. If styles
    /// were given, latents are mapped to styles too.
    ///
    /// # Errors
    /// As [`Synthesizer::latents`].
    pub fn codes(&mut self, first: u64, count: usize) -> Result<Codes, Error> {
        let Some(given) = self.given.clone() else { return self.latents(first, count) };
        let mut out = given.none_like();
        let end = (first + count as u64).min(given.len() as u64);
        for i in first..end {
            out.push(given.code(i as usize), given.class(i as usize));
        }
        let (next, left) = (first + out.len() as u64, count - out.len());
        if left == 0 {
            return Ok(out);
        }
        let mut more = self.latents(next, left)?;
        if out.space() == Space::Styles {
            more = self.styles(&more)?;
        }
        out.followed_by(&more)
    }

    /// [`Synthesizer::codes`], which must be latents.
    ///
    /// # Errors
    /// Styles were given.
    pub(super) fn latent_codes(&mut self, first: u64, count: usize) -> Result<Codes, Error> {
        if self.given.as_ref().is_some_and(|given| given.space() == Space::Styles) {
            self.refuse_given("styles are behind the mapping network, whose class and truncation they have")?;
        }
        self.codes(first, count)
    }

    /// An error if codes were given, with the reason why they do not go with a tool.
    pub(super) fn refuse_given(&self, why: &str) -> Result<(), Error> {
        match &self.given {
            None => Ok(()),
            Some(_) => Err(Error::Refused(format!("codes that are given cannot be used here: {why}"))),
        }
    }

    /// The styles of latents; styles stay what they are.
    ///
    /// # Errors
    /// The generator has none.
    pub fn styles(&mut self, codes: &Codes) -> Result<Codes, Error> {
        self.styles_at(self.truncation, codes)
    }

    /// The same under another truncation.
    pub(super) fn styles_at(&mut self, truncation: Option<f64>, codes: &Codes) -> Result<Codes, Error> {
        match (codes.space(), self.objective.code_shape(Space::Styles)) {
            (Space::Styles, _) => Ok(codes.clone()),
            (Space::Latent, Some(shape)) => {
                let program = Program::Styles { truncation: truncation.map(f64::to_bits) };
                let styles = self.run(program, codes, "styles", &mut |_| {})?;
                Codes::new(Space::Styles, &shape, styles, codes.classes().map(<[usize]>::to_vec))
            }
            (Space::Latent, None) => Err(Error::Refused(format!(
                "the generator of recipe `{}` has no styles: its layers get the latent itself. Models with styles are \
                 listed by `ganymede recipes --words`",
                self.objective.recipe.name
            ))),
        }
    }

    /// Samples of codes, one after the other. `drawn` is told after each batch how many have been added.
    ///
    /// # Errors
    /// What compiling and running say.
    pub fn samples(&mut self, codes: &Codes, drawn: &mut dyn FnMut(usize)) -> Result<Vec<f32>, Error> {
        let space = codes.space();
        // Styles are truncated, if at all, when latents become styles.
        let truncation = match space {
            Space::Latent if self.objective.generator.has_styles() => self.truncation.map(f64::to_bits),
            Space::Latent | Space::Styles => None,
        };
        self.run(Program::Samples { space, truncation }, codes, "samples", drawn)
    }

    fn run(
        &mut self,
        program: Program,
        codes: &Codes,
        output: &str,
        ran: &mut dyn FnMut(usize),
    ) -> Result<Vec<f32>, Error> {
        let mut out = Vec::new();
        let mut done = 0;
        while done < codes.len() {
            let batch = batch_for(self.objective, codes.len() - done);
            let take = batch.min(codes.len() - done);
            let phase = self.program(program, batch)?;
            self.feed(phase, feed::CODES, codes, done..done + take)?;
            self.session.run(phase)?;
            let results = self.session.output(phase, output).unwrap_or(&[]);
            out.extend_from_slice(&results[..results.len() / batch * take]);
            done += take;
            ran(take);
        }
        Ok(out)
    }

    /// Writes some of `codes` and their classes to the feeds of a phase; what a batch has beyond them is 0.
    pub(crate) fn feed(
        &mut self,
        phase: PhaseId,
        name: &str,
        codes: &Codes,
        range: std::ops::Range<usize>,
    ) -> Result<(), Error> {
        let width = codes.width();
        let values = &codes.values()[range.start * width..range.end * width];
        let fed = self.session.feed_mut(phase, name)?;
        fed[..values.len()].copy_from_slice(values);
        fed[values.len()..].fill(0.0);
        if let Some(classes) = codes.classes()
            && self.session.feed_index(phase, feed::LABELS).is_ok()
        {
            let labels = self.session.feed_words_mut(phase, feed::LABELS)?;
            labels.fill(0);
            for (label, class) in labels.iter_mut().zip(&classes[range]) {
                *label = *class as u32;
            }
        }
        Ok(())
    }

    fn program(&mut self, program: Program, batch: usize) -> Result<PhaseId, Error> {
        if let Some((.., phase)) = self.programs.iter().find(|(p, b, _)| (*p, *b) == (program, batch)) {
            return Ok(*phase);
        }
        let objective = self.objective;
        let factor = |bits: Option<u64>| bits.map(f64::from_bits);
        let (name, function) = match program {
            Program::Latents { truncation } => {
                ("latents", objective.latents_phase(batch, factor(truncation))?)
            }
            Program::Styles { truncation } => ("styles", objective.styles_phase(batch, factor(truncation))?),
            Program::Samples { space, truncation } => {
                ("samples", objective.sample_from_codes_phase(space, batch, factor(truncation))?)
            }
        };
        let phase = self.session.add_phase(&format!("{name}{batch}"), &function)?;
        self.programs.push((program, batch, phase));
        Ok(phase)
    }
}
