//! Fourier features of coordinates.

use crate::scope::Scope;
use ganymede_graph::Tensor;
use std::f64::consts::PI;

/// Most octaves of [`fourier_features`]: the sine of f32 arguments stays accurate, and 2^-16 of the domain is finer
/// than any set that samples can show.
pub const MAX_OCTAVES: usize = 16;

/// Coordinates with their waves: [..., C] to [..., C (1 + 2 octaves)], holding `x` and then, for k from 0 to
/// `octaves` - 1, sin(2^k pi x) and cos(2^k pi x). A dense network learns slowly what varies over a small part of its
/// domain; waves of an octave let it resolve about 2^-k of [-1, 1] (Tancik et al. 2020, Fourier Features Let Networks
/// Learn High Frequency Functions in Low Dimensional Domains, section 5; the octaves are those of Mildenhall et al.
/// 2020, NeRF, equation 4, without its omission of `x`).
#[track_caller]
pub fn fourier_features(scope: &Scope, x: &Tensor, octaves: usize) -> Tensor {
    let _in = scope.enter();
    let graph = scope.graph();
    if x.is_poisoned() {
        return x.clone();
    }
    if !(1..=MAX_OCTAVES).contains(&octaves) {
        return graph.fail("fourier_features", format!("takes 1 to {MAX_OCTAVES} octaves, got {octaves}"));
    }
    if !x.dtype().is_float() || x.shape().len() < 2 {
        return graph
            .fail("fourier_features", format!("expected float coordinates [N, ..., C], got {}", x.ty()));
    }
    let angles: Vec<Tensor> = (0..octaves).map(|k| x * (PI * (1u32 << k) as f64)).collect();
    let waves: Vec<Tensor> = angles.iter().flat_map(|angle| [angle.sin(), angle.cos()]).collect();
    let all: Vec<&Tensor> = std::iter::once(x).chain(&waves).collect();
    let y = Tensor::concat(&all, x.shape().len() - 1);
    scope.record_layer(&format!("fourier_features {octaves}"), &y);
    y
}
