//! Samples seen through an extractor, in large batches: what metrics are computed from.

use super::source::SampleSource;
use crate::error::Error;
use crate::extractors::{BATCH, Extractor, Watch};
use crate::picture::byte;
use ganymede_metrics::{Features, Gaussian, GaussianFit};

/// Samples taken from a source at once unless asked otherwise.
pub const CHUNK: usize = 4 * BATCH;

/// A set of samples as an extractor sees it.
pub struct Collected {
    /// Samples.
    pub count: usize,
    /// Their features; no rows where the Gaussian alone was wished for.
    pub features: Features,
    /// The Gaussian of them.
    pub gaussian: Gaussian,
    /// `[count, heads, classes]`, where the extractor is a classifier.
    pub probabilities: Option<Vec<f64>>,
    /// Classes that the source says they are of.
    pub labels: Option<Vec<i32>>,
    /// The first samples themselves, as many as were asked for.
    pub kept: Vec<f32>,
}

impl Collected {
    /// Whether the features themselves are there.
    pub fn whole(&self) -> bool {
        self.features.rows() == self.count
    }

    /// The same of some samples alone; none of them is kept as it is.
    ///
    /// # Errors
    /// Fewer than two; features that were not kept.
    pub fn select(&self, rows: &[usize]) -> Result<Self, Error> {
        if !self.whole() {
            return Err(Error::Refused("of these samples no features are kept, only their Gaussian".into()));
        }
        let features = self.features.select(rows.iter().copied());
        let width = self.probabilities.as_ref().map_or(0, |p| p.len() / self.count.max(1));
        let of = |p: &Vec<f64>| rows.iter().flat_map(|&row| &p[row * width..][..width]).copied().collect();
        Ok(Self {
            count: rows.len(),
            gaussian: Gaussian::of(&features)?,
            probabilities: self.probabilities.as_ref().map(of),
            labels: self.labels.as_ref().map(|labels| rows.iter().map(|&row| labels[row]).collect()),
            features,
            kept: Vec::new(),
        })
    }
}

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Samples.
    pub count: usize,
    /// Of these, the first that are kept as they are.
    pub keep: usize,
    /// Whether features are kept, or pass into their Gaussian and are gone.
    pub features: bool,
    /// Samples taken from the source at once, at least, in whole batches of the extractor; what is found does not depend on it.
    pub batch: usize,
    /// What it is called meanwhile.
    pub what: &'static str,
}

/// How samples of a shape are quantized before they are looked at, in words.
pub fn quantization(shape: &[usize]) -> &'static str {
    if shape.len() == 3 { "uint8, once: round((x + 1) 127.5)" } else { "none" }
}

/// Images rounded to bytes, as a file would hold them; points stay as they are.
pub fn quantize(samples: &mut [f32], shape: &[usize]) {
    if shape.len() == 3 {
        samples.iter_mut().for_each(|value| *value = f32::from(byte(*value)) / 127.5 - 1.0);
    }
}

/// Samples `first..first + count` of a source, quantized, with their classes if it knows them.
///
/// # Errors
/// The source has fewer, or one of them is not finite.
pub fn take(
    source: &mut dyn SampleSource,
    first: usize,
    count: usize,
) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
    let (mut samples, labels) = source.take(first as u64, count)?;
    let shape = source.shape().to_vec();
    let size: usize = shape.iter().product();
    if let Some(at) = samples.iter().position(|value| !value.is_finite()) {
        return Err(Error::Refused(format!(
            "{}: sample {} has a value that is {}: the generator has overflowed, so nothing can be scored",
            source.info().path,
            first + at / size,
            samples[at]
        )));
    }
    quantize(&mut samples, &shape);
    Ok((samples, labels))
}

/// Refuses to score more samples than a source has.
pub fn check_available(source: &dyn SampleSource, count: usize) -> Result<(), Error> {
    match source.available().filter(|&there| there < count) {
        Some(there) => Err(Error::Refused(format!(
            "{}: {count} samples are wanted and {there} are there: give --n {there} or fewer, or more samples",
            source.info().path
        ))),
        None => Ok(()),
    }
}

/// Looks at the first samples of a source.
///
/// # Errors
/// As [`take`]; features that are not finite.
pub fn collect(
    source: &mut dyn SampleSource,
    extractor: &mut dyn Extractor,
    wish: Wish,
    watch: &mut dyn Watch,
) -> Result<Collected, Error> {
    let Wish { count, keep, features: whole, batch, what } = wish;
    // The last bits of a feature depend on the place of its sample in the extractor's batch: whole ones leave each its own.
    let batch = batch.max(1).next_multiple_of(BATCH);
    check_available(source, count)?;
    let size: usize = source.shape().iter().product();
    let mut features = Features::empty(extractor.dimensions())?;
    let mut fit = GaussianFit::new(extractor.dimensions())?;
    let (mut probabilities, mut labels): (Option<Vec<f64>>, Option<Vec<i32>>) = (None, None);
    let (mut first, mut kept) = (0, Vec::new());
    while first < count {
        if watch.stopped() {
            return Err(Error::Stopped);
        }
        let chunk = batch.min(count - first);
        let (samples, of_classes) = take(source, first, chunk)?;
        let seen = extractor.extract(&samples)?;
        let rows: Vec<f64> = seen.features.iter().map(|&v| f64::from(v)).collect();
        fit.push(&rows).map_err(|error| {
            Error::Refused(format!("extractor {} on {}: {error}", extractor.name(), source.info().path))
        })?;
        if whole {
            features.push(&rows)?;
        }
        kept.extend_from_slice(&samples[..(keep.saturating_sub(first)).min(chunk) * size]);
        if let Some(p) = seen.probabilities {
            probabilities.get_or_insert_with(Vec::new).extend(p.iter().map(|&p| f64::from(p)));
        }
        if let Some(l) = of_classes {
            labels.get_or_insert_with(Vec::new).extend(l);
        }
        first += chunk;
        watch.moved(what, first as u64, count as u64);
    }
    Ok(Collected { count, gaussian: fit.finish()?, features, probabilities, labels, kept })
}
