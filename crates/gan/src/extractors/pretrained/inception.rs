//! The layers of Inception-v3 (Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2016, section 6 and table 1) under torchvision's names.
//!
//! Both known sets of weights share them and differ in how they pool, which decides features by as much as any weight.
//! Batch normalization by kept statistics is affine, and so is folded into the convolution before it: weight w s and bias
//! b - m s with s = g / sqrt(v + 1e-3).

use super::tensors::Tensors;
use ganymede_graph::Tensor;
use ganymede_nn::layers::{
    ConvLayer, DenseLayer, Padding, Pool, avg_pool, conv, dense, global_avg_pool, max_pool,
};
use ganymede_nn::{Init, Scope};

/// Added to the variances.
const EPS: f64 = 1e-3;
/// Length of a feature vector: channels of the last block.
pub const FEATURES: usize = 2048;
/// Side of the images it takes.
pub const SIDE: usize = 299;
/// The pool of a block that keeps the size: 3x3 windows around each pixel.
const AROUND: Pool = Pool { window: 3, stride: 1, pad: 1 };
/// The pools between stages.
const HALVE: Pool = Pool { window: 3, stride: 2, pad: 0 };

/// How a block pools around each pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// The mean of nine, zeros outside the image among them.
    ZerosCount,
    /// The mean of those inside the image.
    Inside,
    /// The largest.
    Max,
}

/// How each block pools: the ones before `7c`, and that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Blocks 5b to 7b.
    pub most: Around,
    /// Block 7c.
    pub last: Around,
}

/// Whether tensors are Inception-v3's with so many classes.
pub fn recognises(tensors: &Tensors, classes: usize) -> bool {
    tensors.has("fc.weight", &[classes, FEATURES])
        && tensors.has("Conv2d_1a_3x3.conv.weight", &[32, 3, 3, 3])
        && tensors.has("Mixed_7c.branch_pool.conv.weight", &[192, FEATURES, 1, 1])
}

/// The values of a parameter, by its name here: convolutions with their normalization folded in.
pub fn parameter(tensors: &Tensors, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
    let published = name.replace('/', ".");
    let Some(unit) = published.strip_suffix(".conv.weight").or(published.strip_suffix(".conv.bias")) else {
        return super::plain(tensors, &published, shape);
    };
    let channels = shape[shape.len() - 1];
    let of = |part: &str| tensors.floats(&format!("{unit}.bn.{part}"), &[channels]);
    let (gains, variances) = (of("weight")?, of("running_var")?);
    let scale = |c: usize| f64::from(gains[c]) / (f64::from(variances[c]) + EPS).sqrt();
    if let Some(bad) = (0..channels).find(|&c| !scale(c).is_finite()) {
        return Err(format!("`{unit}.bn.running_var` holds {}, a variance cannot be that", variances[bad]));
    }
    if shape.len() == 1 {
        let (shifts, means) = (of("bias")?, of("running_mean")?);
        let bias = |c: usize| (f64::from(shifts[c]) - f64::from(means[c]) * scale(c)) as f32;
        return Ok((0..channels).map(bias).collect());
    }
    let mut weights = super::plain(tensors, &format!("{unit}.conv.weight"), shape)?;
    for (i, weight) in weights.iter_mut().enumerate() {
        *weight = (f64::from(*weight) * scale(i % channels)) as f32;
    }
    Ok(weights)
}

/// A convolution, its folded normalization, ReLU.
fn unit(scope: &Scope, name: &str, x: &Tensor, layer: ConvLayer) -> Tensor {
    conv(&scope.child(name).child("conv"), x, layer).relu()
}

/// A square kernel without padding.
fn valid(channels: usize, kernel: usize) -> ConvLayer {
    ConvLayer::new(channels, kernel)
}

/// A kernel that keeps the size.
fn same(channels: usize, kernel: [usize; 2]) -> ConvLayer {
    ConvLayer { kernel, ..ConvLayer::new(channels, 1) }.padding(Padding::Same)
}

/// The branch that pools around each pixel and goes to so many channels.
fn pooled(scope: &Scope, x: &Tensor, channels: usize, around: Around) -> Tensor {
    let scope = scope.child("branch_pool").child("conv");
    let layer = valid(channels, 1);
    match around {
        Around::Max => conv(&scope, &max_pool(&scope, x, AROUND), layer).relu(),
        Around::ZerosCount | Around::Inside => {
            // Means and 1x1 convolutions are linear and exchange: the mean is over fewer channels behind the convolution.
            let narrow = conv(&scope, x, layer.no_bias());
            let mut mean = avg_pool(&scope, &narrow, AROUND);
            if around == Around::Inside && !mean.is_poisoned() {
                mean = &mean * inside(&mean);
            }
            (mean + scope.param("bias", &[channels], Init::Zeros)).relu()
        }
    }
}

/// Nine over the number of pixels of a 3x3 window that lie inside the image: `[H, W, 1]`.
fn inside(x: &Tensor) -> Tensor {
    let (h, w) = (x.shape()[1], x.shape()[2]);
    let seen = |i: usize, n: usize| (i + 2).min(n) - i.saturating_sub(1);
    let share = |i: usize| 9.0 / (seen(i / w, h) * seen(i % w, w)) as f64;
    let values: Vec<f64> = (0..h * w).map(share).collect();
    x.graph().constant_f32(&[h, w, 1], &values)
}

fn join(parts: &[Tensor]) -> Tensor {
    Tensor::concat(&parts.iter().collect::<Vec<_>>(), 3)
}

/// Figure 5 of the paper: branches of 1x1, 5x5 and two 3x3.
fn block_a(scope: &Scope, x: &Tensor, pool: usize, around: Around) -> Tensor {
    let one = unit(scope, "branch1x1", x, valid(64, 1));
    let five = unit(scope, "branch5x5_1", x, valid(48, 1));
    let five = unit(scope, "branch5x5_2", &five, same(64, [5, 5]));
    let three = unit(scope, "branch3x3dbl_1", x, valid(64, 1));
    let three = unit(scope, "branch3x3dbl_2", &three, same(96, [3, 3]));
    let three = unit(scope, "branch3x3dbl_3", &three, same(96, [3, 3]));
    join(&[one, five, three, pooled(scope, x, pool, around)])
}

/// From 35x35 to 17x17.
fn block_b(scope: &Scope, x: &Tensor) -> Tensor {
    let three = unit(scope, "branch3x3", x, valid(384, 3).stride(2));
    let double = unit(scope, "branch3x3dbl_1", x, valid(64, 1));
    let double = unit(scope, "branch3x3dbl_2", &double, same(96, [3, 3]));
    let double = unit(scope, "branch3x3dbl_3", &double, valid(96, 3).stride(2));
    join(&[three, double, max_pool(scope, x, HALVE)])
}

/// Figure 6: 7x7 in one direction after the other.
fn block_c(scope: &Scope, x: &Tensor, narrow: usize, around: Around) -> Tensor {
    const ACROSS: [usize; 2] = [1, 7];
    const DOWN: [usize; 2] = [7, 1];
    let one = unit(scope, "branch1x1", x, valid(192, 1));
    let seven = unit(scope, "branch7x7_1", x, valid(narrow, 1));
    let seven = unit(scope, "branch7x7_2", &seven, same(narrow, ACROSS));
    let seven = unit(scope, "branch7x7_3", &seven, same(192, DOWN));
    let double = unit(scope, "branch7x7dbl_1", x, valid(narrow, 1));
    let double = unit(scope, "branch7x7dbl_2", &double, same(narrow, DOWN));
    let double = unit(scope, "branch7x7dbl_3", &double, same(narrow, ACROSS));
    let double = unit(scope, "branch7x7dbl_4", &double, same(narrow, DOWN));
    let double = unit(scope, "branch7x7dbl_5", &double, same(192, ACROSS));
    join(&[one, seven, double, pooled(scope, x, 192, around)])
}

/// From 17x17 to 8x8.
fn block_d(scope: &Scope, x: &Tensor) -> Tensor {
    let three = unit(scope, "branch3x3_1", x, valid(192, 1));
    let three = unit(scope, "branch3x3_2", &three, valid(320, 3).stride(2));
    let seven = unit(scope, "branch7x7x3_1", x, valid(192, 1));
    let seven = unit(scope, "branch7x7x3_2", &seven, same(192, [1, 7]));
    let seven = unit(scope, "branch7x7x3_3", &seven, same(192, [7, 1]));
    let seven = unit(scope, "branch7x7x3_4", &seven, valid(192, 3).stride(2));
    join(&[three, seven, max_pool(scope, x, HALVE)])
}

/// Figure 7: 3x3 in both directions side by side.
fn block_e(scope: &Scope, x: &Tensor, around: Around) -> Tensor {
    const ACROSS: [usize; 2] = [1, 3];
    const DOWN: [usize; 2] = [3, 1];
    let one = unit(scope, "branch1x1", x, valid(320, 1));
    let three = unit(scope, "branch3x3_1", x, valid(384, 1));
    let double = unit(scope, "branch3x3dbl_1", x, valid(448, 1));
    let double = unit(scope, "branch3x3dbl_2", &double, same(384, [3, 3]));
    join(&[
        one,
        unit(scope, "branch3x3_2a", &three, same(384, ACROSS)),
        unit(scope, "branch3x3_2b", &three, same(384, DOWN)),
        unit(scope, "branch3x3dbl_3a", &double, same(384, ACROSS)),
        unit(scope, "branch3x3dbl_3b", &double, same(384, DOWN)),
        pooled(scope, x, 192, around),
    ])
}

/// Features `[N, 2048]`, the means over the last 8x8 pixels, of images `[N, 299, 299, 3]` as the network takes them.
pub fn features(scope: &Scope, images: &Tensor, pooling: Pooling) -> Tensor {
    let at = |name: &str| scope.child(name);
    let most = pooling.most;
    let x = unit(scope, "Conv2d_1a_3x3", images, valid(32, 3).stride(2));
    let x = unit(scope, "Conv2d_2a_3x3", &x, valid(32, 3));
    let x = unit(scope, "Conv2d_2b_3x3", &x, same(64, [3, 3]));
    let x = max_pool(scope, &x, HALVE);
    let x = unit(scope, "Conv2d_3b_1x1", &x, valid(80, 1));
    let x = unit(scope, "Conv2d_4a_3x3", &x, valid(192, 3));
    let x = max_pool(scope, &x, HALVE);
    let x = block_a(&at("Mixed_5b"), &x, 32, most);
    let x = block_a(&at("Mixed_5c"), &x, 64, most);
    let x = block_a(&at("Mixed_5d"), &x, 64, most);
    let x = block_b(&at("Mixed_6a"), &x);
    let x = block_c(&at("Mixed_6b"), &x, 128, most);
    let x = block_c(&at("Mixed_6c"), &x, 160, most);
    let x = block_c(&at("Mixed_6d"), &x, 160, most);
    let x = block_c(&at("Mixed_6e"), &x, 192, most);
    let x = block_d(&at("Mixed_7a"), &x);
    let x = block_e(&at("Mixed_7b"), &x, most);
    let x = block_e(&at("Mixed_7c"), &x, pooling.last);
    global_avg_pool(scope, &x)
}

/// Logits `[N, classes]` of features.
pub fn logits(scope: &Scope, features: &Tensor, classes: usize, bias: bool) -> Tensor {
    let layer = DenseLayer::new(classes);
    dense(&scope.child("fc"), features, if bias { layer } else { layer.no_bias() })
}
