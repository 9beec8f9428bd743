//! How far two images are from each other.

use crate::error::Error;
use ganymede_cpu::{PhaseId, Session};
use ganymede_graph::{ConvOptions, Graph, Tensor, TensorType};
use ganymede_nn::{Init, ParamSpec};

/// Key of the filters: the same for every run, so that distances can be compared.
const KEY: [u32; 2] = [0x6665_6174, 0x7572_6573];
/// Channels of the levels, each at half the resolution of the one before.
const CHANNELS: [usize; 3] = [16, 32, 64];
/// Sides below which no further level is made.
const LEAST_SIDE: usize = 4;
const SLOPE: f64 = 0.2;

/// Random convolutions over three resolutions. Their responses hold an image's edges and textures, without a network that
/// was trained on other images and would have to come along (He, Wang, Hopcroft 2016, on images made from the responses of
/// random networks; Ustyuzhaninov et al. 2016, on textures).
pub struct Features {
    levels: Vec<(ParamSpec, Vec<f32>)>,
}

impl Features {
    /// For images of a shape; samples that are no images have no levels, and their distance is that of their values.
    pub fn new(shape: &[usize]) -> Self {
        let [height, width, channels] = shape[..] else { return Self { levels: Vec::new() } };
        let (mut side, mut inputs) = (height.min(width), channels);
        let mut levels = Vec::new();
        for (i, outputs) in CHANNELS.into_iter().enumerate() {
            if side < LEAST_SIDE {
                break;
            }
            // He's gain: responses are as large as the image's values, on the average of squares.
            let init = Init::HeNormal { gain: (2.0 / (1.0 + SLOPE * SLOPE)).sqrt() };
            let spec = ParamSpec::new(format!("features/level{i}"), &[3, 3, inputs, outputs], init, false);
            let weights = spec.initialize(KEY);
            levels.push((spec, weights));
            (side, inputs) = (side / 2, outputs);
        }
        Self { levels }
    }

    /// The responses of images `[N, H, W, C]`, one tensor a level.
    fn responses(&self, graph: &Graph, images: &Tensor) -> Vec<Tensor> {
        let mut x = images.clone();
        let mut out = Vec::with_capacity(self.levels.len());
        for (i, (spec, _)) in self.levels.iter().enumerate() {
            if i > 0 {
                x = x.avg_pool2d(2, 2, 0);
            }
            let weight = graph.feed(&spec.name, TensorType::f32(&spec.ty.shape[..]));
            x = x.conv2d(&weight, ConvOptions::default().pad(1)).leaky_relu(SLOPE);
            out.push(x.clone());
        }
        out
    }

    /// Distances `[N]` of samples `[N, ...]` from one target `[1, ...]`: the mean squared difference of the values, and the
    /// mean over levels of that of the responses.
    pub fn distance(&self, graph: &Graph, samples: &Tensor, target: &Tensor) -> Tensor {
        let _at = graph.scope("distance");
        let apart = |a: &Tensor, b: &Tensor| {
            let shape = a.shape();
            let axes: Vec<usize> = (1..shape.len()).collect();
            let b = b.reshape(&shape[1..]).broadcast_axes(&shape, &axes);
            (a - b).square().mean(&axes)
        };
        let values = apart(samples, target);
        let levels = self.responses(graph, samples).into_iter().zip(self.responses(graph, target));
        let sum = levels.map(|(a, b)| apart(&a, &b)).reduce(|sum, level| sum + level);
        match sum {
            Some(sum) => values + sum * (1.0 / self.levels.len() as f64),
            None => values,
        }
    }

    /// Writes the filters and the target to a phase that measures distances.
    ///
    /// # Errors
    /// The phase measures none.
    pub fn feed(&self, session: &mut Session, phase: PhaseId, target: &[f32]) -> Result<(), Error> {
        for (spec, weights) in &self.levels {
            session.feed_mut(phase, &spec.name)?.copy_from_slice(weights);
        }
        session.feed_mut(phase, "target")?.copy_from_slice(target);
        Ok(())
    }
}
