use super::inception::{self, Around, FEATURES, Pooling, SIDE};
use super::tensors::Tensors;
use super::{Built, Network, Range};
use ganymede_graph::Tensor;
use ganymede_nn::Scope;

/// Classes of the TensorFlow graph, of which 1000 are ImageNet's.
const CLASSES: usize = 1008;

/// Inception-v3 of the TensorFlow graph `inception-2015-12-05`, whose features the published FIDs are of.
pub(super) struct InceptionFid;

impl Network for InceptionFid {
    fn name(&self) -> &'static str {
        "inception-v3-fid"
    }

    fn about(&self) -> &'static str {
        "Inception-v3 of the TensorFlow graph that published FIDs look through: 2048 features, 1008 logits without bias."
    }

    fn paper(&self) -> &'static str {
        "Szegedy et al. 2016; Heusel et al. 2017 for its use"
    }

    fn published(&self) -> &'static str {
        "pt_inception-2015-12-05-6726825d.pth of github.com/mseitzer/pytorch-fid, the same as \
         weights-inception-2015-12-05-6726825d.pth of github.com/toshas/torch-fidelity (Apache-2.0)"
    }

    fn expects(&self) -> &'static str {
        "Mixed_7c.branch_pool.conv.weight [192, 2048, 1, 1] and fc.weight [1008, 2048]"
    }

    fn recognises(&self, tensors: &Tensors) -> bool {
        inception::recognises(tensors, CLASSES)
    }

    fn side(&self) -> Option<usize> {
        Some(SIDE)
    }

    /// (b - 128) / 128, the graph's own; pytorch-fid's 2 b / 255 - 1 comes with its resizer.
    fn range(&self) -> Range {
        Range { mean: [128.0; 3], deviation: [128.0; 3] }
    }

    fn range_of_pytorch(&self) -> Range {
        Range::SIGNED
    }

    fn batch(&self, _size: [usize; 2]) -> usize {
        16
    }

    fn parameter(&self, tensors: &Tensors, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        inception::parameter(tensors, name, shape)
    }

    /// Means leave out what lies outside the image, as TensorFlow's do, and the last block pools by the maximum. The Inception
    /// score takes logits without their bias.
    fn build(&self, scope: &Scope, images: &Tensor) -> Built {
        let pooling = Pooling { most: Around::Inside, last: Around::Max };
        let features = inception::features(scope, images, pooling);
        let logits = inception::logits(scope, &features, CLASSES, false);
        Built { features, logits: Some(logits) }
    }

    fn dimensions(&self) -> usize {
        FEATURES
    }

    fn classes(&self) -> Option<usize> {
        Some(CLASSES)
    }
}
