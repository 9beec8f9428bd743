//! Small networks and whole losses: a classifier-like network of every layer kind, the discriminator losses with R1
//! and gradient penalty, and the path-length loss of a generator with modulated convolutions.

use super::{Case, Values};
use crate::array::Array;
use crate::grad::grad;
use crate::graph::Graph;
use crate::ops::conv::ConvOptions;
use crate::tensor::Tensor;

/// A scalar loss of named operands.
pub struct Network {
    /// Unique; also the name of its golden file.
    pub name: &'static str,
    /// Operands and their shapes, in order.
    pub inputs: &'static [(&'static str, &'static [usize])],
    /// The loss.
    pub loss: fn(&Graph, &[Tensor]) -> Tensor,
}

/// All of them.
pub const NETWORKS: &[Network] = &[
    Network {
        name: "network",
        inputs: &[
            ("x", &[3, 8, 8, 3]),
            ("target", &[3, 3]),
            ("conv/weight", &[4, 4, 3, 6]),
            ("norm/scale", &[6]),
            ("norm/offset", &[6]),
            ("deconv/weight", &[4, 4, 4, 6]),
            ("grouped/weight", &[3, 3, 2, 6]),
            ("grouped/bias", &[6]),
            ("dense/weight", &[96, 3]),
            ("dense/bias", &[3]),
        ],
        loss: network,
    },
    Network {
        name: "r1",
        inputs: &[
            ("real", &[3, 6, 6, 2]),
            ("fake", &[3, 6, 6, 2]),
            ("conv1/weight", &[4, 4, 2, 5]),
            ("conv1/bias", &[5]),
            ("conv2/weight", &[3, 3, 5, 6]),
            ("conv2/bias", &[6]),
            ("dense/weight", &[54, 1]),
            ("dense/bias", &[1]),
        ],
        loss: r1,
    },
    Network {
        name: "wgan_gp",
        inputs: &[
            ("real", &[3, 6, 6, 2]),
            ("fake", &[3, 6, 6, 2]),
            ("alpha", &[3, 1, 1, 1]),
            ("conv1/weight", &[4, 4, 2, 5]),
            ("norm/scale", &[5]),
            ("norm/offset", &[5]),
            ("conv2/weight", &[3, 3, 5, 6]),
            ("dense/weight", &[54, 1]),
        ],
        loss: wgan_gp,
    },
    Network {
        name: "path_length",
        inputs: &[
            ("w", &[3, 5]),
            ("noise", &[3, 4, 4, 3]),
            ("mean", &[]),
            ("constant", &[1, 4, 4, 4]),
            ("affine1/weight", &[5, 4]),
            ("affine1/bias", &[4]),
            ("conv1/weight", &[3, 3, 4, 6]),
            ("affine2/weight", &[5, 6]),
            ("affine2/bias", &[6]),
            ("conv2/weight", &[3, 3, 6, 3]),
        ],
        loss: path_length,
    },
];

/// Every network with normal operands of standard deviation 0.5, checked to order two.
pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for (k, network) in NETWORKS.iter().enumerate() {
        let mut values = Values::new(0x1000 + k as u32);
        let inputs: Vec<Array> =
            network.inputs.iter().map(|(_, shape)| values.normal_scaled(shape, 0.5)).collect();
        let loss = network.loss;
        out.push(
            Case::new(network.name, inputs, move |g, x| vec![loss(g, x)])
                .norm(1e-5)
                // Small, so that no pre-activation crosses the kink of a leaky ReLU and no maximum changes hands.
                .smooth_within(1e-5),
        );
    }
    out
}

fn halving() -> ConvOptions {
    ConvOptions::default().stride(2).pad(1)
}

/// (x - mean) / sqrt(variance + eps) over `axes`, then scale and offset of the channels.
fn normalize(x: &Tensor, axes: &[usize], scale: &Tensor, offset: &Tensor) -> Tensor {
    let shape = x.shape();
    let kept: Vec<usize> = (0..shape.len()).filter(|a| !axes.contains(a)).collect();
    let spread = |t: Tensor| t.broadcast_axes(&shape, &kept);
    let centred = x - spread(x.mean(axes));
    centred * spread((x.variance(axes) + 1e-5).rsqrt()) * scale + offset
}

/// Convolution, batch norm, leaky ReLU, transposed and grouped convolution, max pooling, dense, mean squared error.
fn network(_: &Graph, x: &[Tensor]) -> Tensor {
    let [x, target, conv, scale, offset, deconv, grouped, bias, dense, dense_bias] = x else {
        unreachable!("the operands are listed above")
    };
    let h = normalize(&x.conv2d(conv, halving()), &[0, 1, 2], scale, offset).leaky_relu(0.2);
    let h = h.conv2d_transposed(deconv, halving(), [8, 8]);
    let h = (h.conv2d(grouped, ConvOptions::default().pad(1).groups(2)) + bias).leaky_relu(0.2);
    let y = h.max_pool2d(2, 2, 0).reshape(&[3, 96]).matmul(dense) + dense_bias;
    (y - target).square().mean_all()
}

/// softplus(-D(real)) + softplus(D(fake)) + gamma / 2 |grad_x D(real)|^2 (Mescheder, Geiger, Nowozin 2018, eq. 9)
/// with gamma = 3.
fn r1(_: &Graph, x: &[Tensor]) -> Tensor {
    let [real, fake, conv1, bias1, conv2, bias2, dense, dense_bias] = x else {
        unreachable!("the operands are listed above")
    };
    let d = |x: &Tensor| {
        let h = (x.conv2d(conv1, halving()) + bias1).leaky_relu(0.2);
        let h = (h.conv2d(conv2, ConvOptions::default().pad(1)) + bias2).silu();
        h.reshape(&[3, 54]).matmul(dense) + dense_bias
    };
    let on_real = d(real);
    let slope = &grad(&on_real.sum_all(), &[real])[0];
    let penalty = slope.square().sum(&[1, 2, 3]).mean_all();
    (-&on_real).softplus().mean_all() + d(fake).softplus().mean_all() + penalty * 1.5
}

/// E D(fake) - E D(real) + 10 E (|grad D(x)| - 1)^2 between the two (Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville
/// 2017, eq. 3), with layer norm.
fn wgan_gp(_: &Graph, x: &[Tensor]) -> Tensor {
    let [real, fake, alpha, conv1, scale, offset, conv2, dense] = x else {
        unreachable!("the operands are listed above")
    };
    let d = |x: &Tensor| {
        let h = normalize(&x.conv2d(conv1, halving()), &[1, 2, 3], scale, offset).leaky_relu(0.2);
        h.conv2d(conv2, ConvOptions::default().pad(1)).tanh().reshape(&[3, 54]).matmul(dense)
    };
    let between = real + alpha * (fake - real);
    let slope = &grad(&d(&between).sum_all(), &[&between])[0];
    let norm = slope.square().sum(&[1, 2, 3]).sqrt();
    d(fake).mean_all() - d(real).mean_all() + (norm - 1.0).square().mean_all() * 10.0
}

/// E (|J^T y| - mean)^2 for the Jacobian J of image by w (Karras et al. 2020, eq. 4), over two modulated convolutions
/// in the shared form: scale the input channels, convolve, demodulate the output channels.
fn path_length(_: &Graph, x: &[Tensor]) -> Tensor {
    let [w, noise, mean, constant, affine1, bias1, conv1, affine2, bias2, conv2] = x else {
        unreachable!("the operands are listed above")
    };
    let modulated = |x: &Tensor, affine: &Tensor, bias: &Tensor, weight: &Tensor| {
        let style = w.matmul(affine) + bias + 1.0;
        let [n, c_in] = style.shape()[..] else { return x.clone() };
        let c_out = weight.shape()[3];
        let y = (x * style.reshape(&[n, 1, 1, c_in])).conv2d(weight, ConvOptions::default().pad(1));
        // |weight scaled by style|^2 for each output channel.
        let power = style.square().matmul(&weight.square().sum(&[0, 1]));
        y * (power + 1e-8).rsqrt().reshape(&[n, 1, 1, c_out])
    };
    let h = modulated(&constant.broadcast_to(&[3, 4, 4, 4]), affine1, bias1, conv1).leaky_relu(0.2);
    let image = modulated(&h, affine2, bias2, conv2);
    let product = &grad(&(image * noise).sum_all(), &[w])[0];
    let length = product.square().sum(&[1]).sqrt();
    (length - mean).square().mean_all()
}
