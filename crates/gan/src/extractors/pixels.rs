use super::{Extracted, Extractor, Kind, Wanted, hash_of};
use crate::error::Error;

/// Most values of a sample: beyond, covariances of them take gigabytes and say little.
const MOST: usize = 4096;

/// Samples as they are.
pub(super) struct Pixels;

impl Kind for Pixels {
    fn name(&self) -> &'static str {
        "pixels"
    }

    fn about(&self) -> &'static str {
        "The values of a sample themselves: exact for points, blind to what images show; up to 4096 values."
    }

    fn open(&self, wanted: &mut Wanted<'_>) -> Result<Box<dyn Extractor>, Error> {
        let shape = wanted.train.shape().to_vec();
        let values: usize = shape.iter().product();
        if values > MOST {
            return Err(Error::Refused(format!(
                "extractor pixels takes samples of up to {MOST} values, {} has {values} a sample: use random-conv or a \
                 classifier",
                wanted.train.spec()
            )));
        }
        let hash = hash_of([b"pixels".as_slice(), format!("{shape:?}").as_bytes()]);
        Ok(Box::new(Raw { shape, hash }))
    }
}

struct Raw {
    shape: Vec<usize>,
    hash: String,
}

impl Extractor for Raw {
    fn name(&self) -> &str {
        "pixels"
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dimensions(&self) -> usize {
        self.shape.iter().product()
    }

    fn extract(&mut self, samples: &[f32]) -> Result<Extracted, Error> {
        Ok(Extracted { features: samples.to_vec(), probabilities: None })
    }
}
