//! Two-dimensional mixtures of equal Gaussians with weights.

use crate::{
    dataset::{ContentHash, Dataset, Items},
    error::DataError,
    random::{Draws, Stream},
    source::{OpenOptions, Split},
    spec::Spec,
};

/// Raised when the same specification draws other points.
const VERSION: u32 = 1;

/// A mixture of Gaussians in the plane, in original units.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureSpec {
    /// The mean of each mode.
    pub centres: Vec<[f64; 2]>,
    /// The standard deviation of every mode along each axis.
    pub sigma: f64,
    /// The probability of each mode; they sum to 1.
    pub weights: Vec<f64>,
}

impl MixtureSpec {
    /// Root mean square of the centres about their mean, per axis: a sample divided by it has a standard deviation
    /// near 1 whatever the spacing, and recipes need not change with it. Weights do not enter.
    pub fn scale(&self) -> f64 {
        let count = self.centres.len() as f64;
        let mean = [0, 1].map(|axis| self.centres.iter().map(|c| c[axis]).sum::<f64>() / count);
        let square: f64 =
            self.centres.iter().map(|c| (c[0] - mean[0]).powi(2) + (c[1] - mean[1]).powi(2)).sum();
        (square / (2.0 * count)).sqrt()
    }

    /// Sets the weights that the specification asks for: a comma list, one a mode, or `linear` (mode k has weight k + 1).
    pub(crate) fn weighted(mut self, spec: &Spec<'_>) -> Result<Self, DataError> {
        let Some(text) = spec.value("weights") else { return Ok(self) };
        let modes = self.centres.len();
        let weights: Vec<f64> = if text == "linear" {
            (1..=modes).map(|k| k as f64).collect()
        } else {
            text.split(',')
                .map(|word| spec.positive_number("weights", word))
                .collect::<Result<_, _>>()
                .map_err(|_| spec.bad("weights", text, weights_expected(modes)))?
        };
        if weights.len() != modes {
            let expected = format!("{}, got {}", weights_expected(modes), weights.len());
            return Err(spec.bad("weights", text, expected));
        }
        let sum: f64 = weights.iter().sum();
        self.weights = weights.into_iter().map(|w| w / sum).collect();
        Ok(self)
    }

    /// The set of points drawn from this mixture, divided by [`MixtureSpec::scale`] and labelled with their mode.
    pub(crate) fn into_dataset(self, spec: &str, options: &OpenOptions) -> Dataset {
        let names = (0..self.centres.len()).map(|mode| format!("mode {mode}")).collect();
        let items = MixtureItems::new(&self, options);
        Dataset::new(spec, &[2], self.hash(), Box::new(items)).with_classes(names).with_mixture(self)
    }

    fn hash(&self) -> ContentHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"mixture in the plane");
        hasher.update(&VERSION.to_le_bytes());
        hasher.update(&(self.centres.len() as u64).to_le_bytes());
        let centres = self.centres.iter().flatten();
        for value in centres.chain([&self.sigma]).chain(&self.weights) {
            hasher.update(&value.to_le_bytes());
        }
        ContentHash(hasher.finalize().into())
    }
}

fn weights_expected(modes: usize) -> String {
    format!("`linear` or {modes} numbers above 0 with commas between, one a mode")
}

struct MixtureItems {
    seed: u64,
    stream: Stream,
    /// In units of the scale.
    centres: Vec<[f64; 2]>,
    sigma: f64,
    /// Upper end of each mode's share of [0, 1).
    cumulative: Vec<f64>,
}

impl MixtureItems {
    fn new(spec: &MixtureSpec, options: &OpenOptions) -> Self {
        let scale = spec.scale();
        let cumulative = spec
            .weights
            .iter()
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        Self {
            seed: options.seed,
            stream: match options.split {
                Split::Train => Stream::MixtureTrain,
                Split::Test => Stream::MixtureTest,
            },
            centres: spec.centres.iter().map(|c| c.map(|x| x / scale)).collect(),
            sigma: spec.sigma / scale,
            cumulative,
        }
    }

    fn draw(&self, index: u64) -> ([f32; 2], usize) {
        let mut draws = Draws::new(self.seed, self.stream, index);
        let u = draws.unit64();
        // The sum of the weights may round to just below 1, hence the bound.
        let mode = self.cumulative.partition_point(|&end| end <= u).min(self.centres.len() - 1);
        let [a, b] = draws.normal_pair();
        let [x, y] = self.centres[mode];
        ([(x + self.sigma * a) as f32, (y + self.sigma * b) as f32], mode)
    }
}

impl Items for MixtureItems {
    fn count(&self) -> Option<u64> {
        None
    }

    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], mut labels: Option<&mut [i32]>) {
        for (slot, (&index, point)) in indices.iter().zip(out.chunks_exact_mut(2)).enumerate() {
            let (drawn, mode) = self.draw(index);
            point.copy_from_slice(&drawn);
            if let Some(labels) = labels.as_deref_mut() {
                labels[slot] = mode as i32;
            }
        }
    }
}
