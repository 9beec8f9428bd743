//! Normalisation: batch, layer, instance and group.

use super::images;
use crate::init::Init;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// What all normalisations share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Added to the variance.
    pub eps: f64,
    /// First value of the scale; none leaves scale and shift out.
    pub scale: Option<Init>,
}

impl Default for Norm {
    /// eps 1e-5, with a scale that starts at one and a shift that starts at zero.
    fn default() -> Self {
        Self { eps: 1e-5, scale: Some(Init::Ones) }
    }
}

impl Norm {
    /// (x - mean) / sqrt(variance + eps) scale + shift, with `weight` and `bias` [C] over the last axis. `mean` and
    /// `variance` broadcast to x.
    #[track_caller]
    fn apply(&self, scope: &Scope, x: &Tensor, mean: &Tensor, variance: &Tensor) -> Tensor {
        let channels = x.shape().last().copied().unwrap_or(1);
        let inverse = (variance + self.eps).rsqrt();
        match self.scale {
            None => (x - mean) * inverse,
            Some(init) => {
                let weight = scope.param("weight", &[channels], init);
                let bias = scope.param("bias", &[channels], Init::Zeros);
                // Scale and deviation are joined before they meet the image: one product a pixel.
                (x - mean) * (inverse * weight) + bias
            }
        }
    }
}

/// Options of [`batch_norm`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Share of the old running statistic that an update keeps: .9, which PyTorch calls momentum .1. Keras keeps .99.
    pub momentum: f64,
    /// Epsilon and scale.
    pub norm: Norm,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { momentum: 0.9, norm: Norm::default() }
    }
}

impl BatchNorm {
    /// DCGAN's: the scale starts from N(1, .02) (Radford, Metz, Chintala 2015).
    pub fn dcgan() -> Self {
        let scale = Some(Init::Normal { mean: 1.0, std: 0.02 });
        Self { norm: Norm { scale, ..Norm::default() }, ..Self::default() }
    }
}

/// Batch normalisation (Ioffe, Szegedy 2015) of [N, C] or [N, H, W, C] over all axes but the last.
///
/// In training the batch's mean and population variance normalise; elsewhere the buffers `running_mean` and
/// `running_var`. An update moves them to momentum * old + (1 - momentum) * batch, the variance with n / (n - 1) of
/// the population's, n the values a channel: PyTorch's convention. (Keras keeps the population variance.)
///
/// Where the mode has several segments, the first axis is cut into so many batches, each normalised by its own
/// statistics: exactly what as many passes of the network would do.
#[track_caller]
pub fn batch_norm(scope: &Scope, x: &Tensor, options: BatchNorm) -> Tensor {
    let _in = scope.enter();
    let measured = match measure(scope, "batch_norm", x, options.momentum) {
        Ok(measured) => measured,
        Err(poisoned) => return poisoned,
    };
    let y = options.norm.apply(scope, &measured.x, &measured.mean, &measured.variance).reshape(&x.shape());
    scope.record_layer("batch_norm", &y);
    y
}

/// A batch with the statistics that normalise it.
pub(super) struct Measured {
    /// The batch, its segments apart where there are several: `[N, .., C]` or `[segments, N / segments, .., C]`.
    pub(super) x: Tensor,
    /// Mean of each channel, to be broadcast to `x`.
    pub(super) mean: Tensor,
    /// Population variance of each channel, to be broadcast to `x`.
    pub(super) variance: Tensor,
}

/// The statistics by which `layer` normalises `x`, as [`batch_norm`] says; declares the running ones and updates them.
/// A poisoned tensor where `x` cannot be normalised.
#[track_caller]
pub(super) fn measure(scope: &Scope, layer: &str, x: &Tensor, momentum: f64) -> Result<Measured, Tensor> {
    let graph = scope.graph();
    if x.is_poisoned() {
        return Err(x.clone());
    }
    let shape = x.shape();
    if !(shape.len() == 2 || shape.len() == 4) || !x.dtype().is_float() {
        return Err(graph.fail(layer, format!("expected [N, C] or [N, H, W, C], got {}", x.ty())));
    }
    let channels = shape[shape.len() - 1];
    let mean_slot = scope.buffer("running_mean", &[channels], Init::Zeros);
    let variance_slot = scope.buffer("running_var", &[channels], Init::Ones);
    if !scope.mode().training {
        return Ok(Measured { x: x.clone(), mean: mean_slot, variance: variance_slot });
    }
    let segments = scope.mode().segments;
    if segments == 0 || !shape[0].is_multiple_of(segments) {
        return Err(graph.fail(layer, format!("{segments} segments do not divide the batch of {}", x.ty())));
    }
    let n: usize = shape[..shape.len() - 1].iter().product::<usize>() / segments;
    if n < 2 {
        let message = format!("needs at least 2 values a channel to train, {} has {n}", x.ty());
        return Err(graph.fail(layer, message));
    }
    let batches = Batches::new(&shape, segments);
    let x = batches.apart(x);
    let (mean, variance) = (x.mean(&batches.axes), x.variance(&batches.axes));
    if scope.mode().update_statistics {
        let unbiased = n as f64 / (n - 1) as f64;
        let moved = |old: &Tensor, new: Tensor| {
            let value = match &scope.mode().keep {
                None => old * momentum + new * (1.0 - momentum),
                Some(keep) => old * keep + new * (1.0 - keep),
            };
            value.stop_gradient()
        };
        let chosen = |t: &Tensor| batches.one(t, scope.mode().statistics_segment);
        scope.update("running_mean", &moved(&mean_slot, chosen(&mean)));
        scope.update("running_var", &moved(&variance_slot, chosen(&variance) * unbiased));
    }
    Ok(Measured { x, mean: batches.each(&mean), variance: batches.each(&variance) })
}

/// Batches one behind the other along the first axis. A single one keeps its shape, and its graph stays as plain as
/// without segments.
struct Batches {
    count: usize,
    /// Shape with an axis for the batches, if there are several.
    apart: Vec<usize>,
    /// What statistics are taken over.
    axes: Vec<usize>,
}

impl Batches {
    /// `count` divides the first axis.
    fn new(shape: &[usize], count: usize) -> Self {
        let mut apart = shape.to_vec();
        if count > 1 {
            apart[0] /= count;
            apart.insert(0, count);
        }
        let axes = (usize::from(count > 1)..apart.len() - 1).collect();
        Self { count, apart, axes }
    }

    fn apart(&self, x: &Tensor) -> Tensor {
        x.reshape(&self.apart)
    }

    /// Statistics `[batches, C]` or `[C]`, to meet [`Batches::apart`].
    fn each(&self, statistics: &Tensor) -> Tensor {
        if self.count == 1 {
            return statistics.clone();
        }
        let mut shape = vec![1; self.apart.len()];
        (shape[0], shape[self.apart.len() - 1]) = (self.count, self.apart[self.apart.len() - 1]);
        statistics.reshape(&shape)
    }

    /// Statistics `[C]` of one batch.
    fn one(&self, statistics: &Tensor, batch: usize) -> Tensor {
        if self.count == 1 {
            return statistics.clone();
        }
        let channels = self.apart[self.apart.len() - 1];
        statistics.slice(0, batch, batch + 1).reshape(&[channels])
    }
}

/// Layer normalisation (Ba, Kiros, Hinton 2016) of [N, .., C] over all axes but the batch, with a scale and shift a
/// channel, as WGAN-GP uses it in critics.
#[track_caller]
pub fn layer_norm(scope: &Scope, x: &Tensor, options: Norm) -> Tensor {
    let _in = scope.enter();
    if x.is_poisoned() {
        return x.clone();
    }
    let shape = x.shape();
    if shape.len() < 2 || !x.dtype().is_float() {
        return scope.graph().fail("layer_norm", format!("expected [N, .., C], got {}", x.ty()));
    }
    let axes: Vec<usize> = (1..shape.len()).collect();
    let mut single = vec![1; shape.len()];
    single[0] = shape[0];
    let each = |t: Tensor| t.reshape(&single);
    let y = options.apply(scope, x, &each(x.mean(&axes)), &each(x.variance(&axes)));
    scope.record_layer("layer_norm", &y);
    y
}

/// Instance normalisation (Ulyanov, Vedaldi, Lempitsky 2016) of images over height and width, each image and channel
/// on its own.
#[track_caller]
pub fn instance_norm(scope: &Scope, x: &Tensor, options: Norm) -> Tensor {
    let _in = scope.enter();
    let shape = match images(scope, "instance_norm", x) {
        Ok(shape) => shape,
        Err(poisoned) => return poisoned,
    };
    let each = |t: Tensor| t.reshape(&[shape[0], 1, 1, shape[3]]);
    let y = options.apply(scope, x, &each(x.mean(&[1, 2])), &each(x.variance(&[1, 2])));
    scope.record_layer("instance_norm", &y);
    y
}

/// Group normalisation (Wu, He 2018) of images over height, width and the channels of each of `groups` groups.
#[track_caller]
pub fn group_norm(scope: &Scope, x: &Tensor, groups: usize, options: Norm) -> Tensor {
    let _in = scope.enter();
    let [n, h, w, c] = match images(scope, "group_norm", x) {
        Ok(shape) => shape,
        Err(poisoned) => return poisoned,
    };
    if groups == 0 || !c.is_multiple_of(groups) {
        let message = format!("{c} channels do not divide into {groups} groups");
        return scope.graph().fail("group_norm", message);
    }
    let width = c / groups;
    let tiles = x.reshape(&[n, h, w, groups, width]);
    let each = |t: Tensor| t.broadcast_axes(&[n, groups, width], &[0, 1]).reshape(&[n, 1, 1, c]);
    let y = options.apply(scope, x, &each(tiles.mean(&[1, 2, 4])), &each(tiles.variance(&[1, 2, 4])));
    scope.record_layer(&format!("group_norm {groups}"), &y);
    y
}
