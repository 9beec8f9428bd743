use super::inception::{self, Around, FEATURES, Pooling, SIDE};
use super::tensors::Tensors;
use super::{Built, Network, Range};
use ganymede_graph::Tensor;
use ganymede_nn::Scope;

/// ImageNet's classes.
const CLASSES: usize = 1000;

/// torchvision's Inception-v3.
pub(super) struct InceptionTorchvision;

impl Network for InceptionTorchvision {
    fn name(&self) -> &'static str {
        "inception-v3-torchvision"
    }

    fn about(&self) -> &'static str {
        "torchvision's Inception-v3: 2048 features, 1000 logits; its Frechet distance is not the published FID."
    }

    fn paper(&self) -> &'static str {
        "Szegedy et al. 2016"
    }

    fn published(&self) -> &'static str {
        "inception_v3_google-0cc3c7bd.pth of download.pytorch.org/models (BSD-3-Clause; trained on ImageNet)"
    }

    fn expects(&self) -> &'static str {
        "Mixed_7c.branch_pool.conv.weight [192, 2048, 1, 1] and fc.weight [1000, 2048]"
    }

    fn recognises(&self, tensors: &Tensors) -> bool {
        inception::recognises(tensors, CLASSES)
    }

    fn side(&self) -> Option<usize> {
        Some(SIDE)
    }

    /// Of values normalised by ImageNet's statistics torchvision's `transform_input` makes 2 b / 255 - 1 again.
    fn range(&self) -> Range {
        Range::SIGNED
    }

    fn batch(&self, _size: [usize; 2]) -> usize {
        16
    }

    fn parameter(&self, tensors: &Tensors, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        inception::parameter(tensors, name, shape)
    }

    fn build(&self, scope: &Scope, images: &Tensor) -> Built {
        let pooling = Pooling { most: Around::ZerosCount, last: Around::ZerosCount };
        let features = inception::features(scope, images, pooling);
        let logits = inception::logits(scope, &features, CLASSES, true);
        Built { features, logits: Some(logits) }
    }

    fn dimensions(&self) -> usize {
        FEATURES
    }

    fn classes(&self) -> Option<usize> {
        Some(CLASSES)
    }
}
