//! Rules of weights: what a network multiplies by, as a function of the parameter that the optimizer changes.

use crate::init::{FanRule, Init};
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// How the weights below a scope follow from their parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum WeightRule {
    /// The parameter itself.
    #[default]
    Plain,
    /// The parameter over its largest singular value, as a matrix of output channels by everything else (Miyato et al.
    /// 2018, SNGAN, equation 8). The value is estimated by power iteration from the vector of the last step, which a
    /// buffer `.._u` keeps (algorithm 1); no gradient passes the iteration, but the one of the value does pass through
    /// the weight (equation 11).
    Spectral {
        /// Power iterations a step, 1 in the paper.
        iterations: usize,
    },
    /// The parameter times rate / sqrt(fan-in): with first values from N(0, 1 / rate^2) weights begin as He's do, and an
    /// optimizer whose steps do not depend on the size of gradients moves all of them at `rate` times its learning rate
    /// relative to their size (Karras et al. 2018, progressive growing, section 4.1; the rate is that of StyleGAN's
    /// mapping network, Karras, Laine, Aila 2019, appendix C). [`WeightRule::equalized_init`] is that first value.
    Equalized {
        /// Factor on the learning rate: 1, or .01 in mapping networks.
        rate: f64,
    },
}

/// Smallest singular value that is divided by.
const SMALLEST: f64 = 1e-12;
/// Squared length below which a vector of the power iteration is not scaled up to 1: that of a weight which is zero.
const TINY: f64 = 1e-24;

/// x over its length, for a vector.
fn normalized(x: &Tensor) -> Tensor {
    x * (x.square().sum_all() + TINY).rsqrt()
}

impl WeightRule {
    /// N(0, 1 / rate^2), the first value that [`WeightRule::Equalized`] of this rate supposes.
    pub fn equalized_init(rate: f64) -> Init {
        Init::Normal { mean: 0.0, std: 1.0 / rate }
    }

    /// The weight as the network sees it, for the parameter `name` of `scope` with the value `weight`.
    pub(crate) fn apply(self, scope: &Scope, name: &str, weight: &Tensor, fans: FanRule) -> Tensor {
        match self {
            WeightRule::Plain => weight.clone(),
            WeightRule::Spectral { iterations } => spectral(scope, name, weight, fans, iterations),
            WeightRule::Equalized { rate } => {
                let (fan_in, _) = fans.fans(&weight.shape());
                weight * (rate / (fan_in.max(1) as f64).sqrt())
            }
        }
    }
}

fn spectral(scope: &Scope, name: &str, weight: &Tensor, fans: FanRule, iterations: usize) -> Tensor {
    let _at = scope.graph().scope("spectral_norm");
    // [everything else, output channels]: a convolution's weight already ends with them, that of a transposed one has
    // them one axis before.
    let rank = weight.shape().len();
    let matrix = match fans {
        FanRule::Forward => weight.clone(),
        FanRule::Transposed => {
            let mut order: Vec<usize> = (0..rank).collect();
            order.swap(rank - 2, rank - 1);
            weight.transpose(&order)
        }
    };
    let outputs = matrix.shape().last().copied().unwrap_or(1);
    let rest = weight.shape().iter().product::<usize>() / outputs;
    let matrix = matrix.reshape(&[rest, outputs]);
    let kept = format!("{name}_u");
    let fixed = matrix.stop_gradient();
    let first = scope.buffer(&kept, &[outputs], Init::Normal { mean: 0.0, std: 1.0 });
    let iterate = |u: &Tensor| {
        let v = normalized(&fixed.matmul(u));
        let u = normalized(&fixed.matmul_with(&v, true, false));
        (u, v)
    };
    let (mut u, mut v) = iterate(&first.reshape(&[outputs, 1]));
    for _ in 1..iterations {
        (u, v) = iterate(&u);
    }
    scope.advance(&kept, &u.reshape(&[outputs]));
    // v^T M u, whose gradient by M is v u^T.
    let sigma = (matrix.matmul(&u) * v).sum_all();
    weight / sigma.maximum(&sigma.full_like(SMALLEST))
}
