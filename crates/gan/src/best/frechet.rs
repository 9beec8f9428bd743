use super::{RunMetric, Score};
use crate::error::Error;
use crate::eval::{Evaluator, Options, SampleSource, SourceInfo};
use crate::extractors::{self, Watch, cache_folder};
use ganymede_cpu::Executor;
use ganymede_data::Dataset;
use std::sync::Arc;

/// Samples of a tick, and real ones that they are compared with: enough to tell a checkpoint from another of the same run, since
/// both have the same bias, and seconds of work.
const SAMPLES: usize = 2_000;

/// The Frechet distance of features of the extractor that suits the data.
pub struct Frechet;

/// The real side.
struct Reference {
    evaluator: Evaluator,
    shape: Vec<usize>,
}

/// Samples at hand.
struct Given<'a> {
    samples: &'a [f32],
    shape: &'a [usize],
}

impl SampleSource for Given<'_> {
    fn info(&self) -> SourceInfo {
        SourceInfo::named("samples of a tick")
    }
    fn shape(&self) -> &[usize] {
        self.shape
    }
    fn available(&self) -> Option<usize> {
        Some(self.samples.len() / self.shape.iter().product::<usize>().max(1))
    }
    fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
        let size: usize = self.shape.iter().product();
        let start = first as usize * size;
        Ok((self.samples[start..start + count * size].to_vec(), None))
    }
}

impl Score for Reference {
    fn samples(&self) -> usize {
        SAMPLES
    }
    fn prepare(&mut self, watch: &mut dyn Watch) -> Result<(), Error> {
        let (real, dimensions) = self.evaluator.prepare(watch)?;
        if real <= dimensions {
            watch.note(&format!(
                "best.metric frechet compares with {real} real samples, too few for a Gaussian of {dimensions} features: the \
                 scores tell checkpoints of this run apart, and nothing more"
            ));
        }
        Ok(())
    }
    fn score(&mut self, samples: &[f32], watch: &mut dyn Watch) -> Result<Option<f64>, Error> {
        if samples.iter().any(|value| !value.is_finite()) {
            return Ok(None);
        }
        let mut given = Given { samples, shape: &self.shape };
        self.evaluator.frechet(&mut given, watch).map(Some)
    }
}

impl RunMetric for Frechet {
    fn name(&self) -> &'static str {
        "frechet"
    }
    fn about(&self) -> &'static str {
        "distance of 2,000 samples from real ones in the features of the extractor that suits the data (`ganymede eval`); \
         less is better"
    }
    fn paper(&self) -> &'static str {
        "Heusel et al. 2017, TTUR, section 2 and equation 6"
    }
    fn higher_is_better(&self) -> bool {
        false
    }
    /// The extractor, the drawn samples, and of either side its features, its covariance and a factor of that, with as much
    /// again for their product.
    fn memory(&self, dataset: &Dataset, threads: usize) -> Result<u64, Error> {
        let extractor = extractors::needs(dataset, threads)?;
        let dimensions = extractor.dimensions as u64;
        let drawn = (SAMPLES * dataset.elements() * size_of::<f32>()) as u64;
        let side = (SAMPLES as u64 * dimensions + 4 * dimensions * dimensions) * size_of::<f64>() as u64;
        Ok(extractor.bytes + drawn + 2 * side)
    }
    fn judge(&self, dataset: &Arc<Dataset>, executor: &Arc<Executor>) -> Result<Box<dyn Score>, Error> {
        if dataset.shape().len() != 3 {
            return Err(Error::Refused(format!(
                "best.metric `frechet` compares images, and {} has samples of shape {:?}: choose another metric, such as \
                 reverse-kl for a mixture",
                dataset.spec(),
                dataset.shape()
            )));
        }
        let options =
            Options { metrics: Some(vec!["frechet".into()]), n: Some(SAMPLES), ..Options::default() };
        let evaluator = Evaluator::new(dataset.clone(), None, options, executor.clone(), cache_folder())?;
        Ok(Box::new(Reference { evaluator, shape: dataset.shape().to_vec() }))
    }
}
