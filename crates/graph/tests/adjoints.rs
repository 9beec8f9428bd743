//! Linear ops and their transposes: <A x, y> = <x, A^T y>, over random geometries.

use ganymede_graph::cases::Values;
use ganymede_graph::ops::conv::ConvKind;
use ganymede_graph::ops::window::WindowKind;
use ganymede_graph::{
    Array, ConvGeometry, ConvOptions, Graph, Precision, Tensor, TensorType, WindowGeometry, interpret,
};
use proptest::prelude::*;
use std::collections::HashMap;

/// A graph whose feeds get random values.
struct Bench {
    graph: Graph,
    feeds: HashMap<String, Array>,
    values: Values,
}

impl Bench {
    fn new() -> Self {
        Self { graph: Graph::new(), feeds: HashMap::new(), values: Values::new(11) }
    }

    fn feed(&mut self, array: Array) -> Tensor {
        let name = self.feeds.len().to_string();
        let tensor = self.graph.feed(&name, array.ty.clone());
        self.feeds.insert(name, array);
        tensor
    }

    fn normal(&mut self, shape: &[usize]) -> Tensor {
        let array = self.values.normal(shape);
        self.feed(array)
    }

    /// Inner products that must all be equal.
    fn assert_equal(self, pairs: &[(&Tensor, &Tensor)]) {
        for (i, (a, b)) in pairs.iter().enumerate() {
            assert_eq!(a.shape(), b.shape(), "product {i} {:?}", self.graph.error());
            self.graph.output(&i.to_string(), &(*a * *b).sum_all());
        }
        let out = interpret(&self.graph.finish().unwrap(), &self.feeds, Precision::F64).unwrap().outputs;
        let first = out["0"].floats()[0];
        for i in 1..pairs.len() {
            let other = out[&i.to_string()].floats()[0];
            assert!(
                (first - other).abs() <= 1e-10 * (1.0 + first.abs()),
                "product {i}: {other}, first {first}"
            );
        }
    }
}

fn pair(low: usize, high: usize) -> impl Strategy<Value = [usize; 2]> {
    [low..high, low..high]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// <conv(x, w), g> = <x, conv_input_grad(g, w)> = <w, conv_weight_grad(x, g)>.
    #[test]
    fn the_convolution_triad(
        input in pair(1, 9), kernel in pair(1, 5), stride in pair(1, 4), pad_low in pair(0, 3),
        pad_high in pair(0, 3), dilation in pair(1, 4), groups in 1..4usize, ci in 1..3usize, co in 1..3usize,
        n in 1..3usize,
    ) {
        let options = ConvOptions { stride, pad_low, pad_high, dilation, groups };
        let geometry = ConvGeometry { input, kernel, options };
        let Ok([oh, ow]) = geometry.output() else { return Ok(()) };
        let mut b = Bench::new();
        let x = b.normal(&[n, input[0], input[1], ci * groups]);
        let w = b.normal(&[kernel[0], kernel[1], ci, co * groups]);
        let g = b.normal(&[n, oh, ow, co * groups]);
        let y = x.conv_triad(ConvKind::Forward, geometry, &w);
        let dx = g.conv_triad(ConvKind::InputGrad, geometry, &w);
        let dw = x.conv_triad(ConvKind::WeightGrad, geometry, &g);
        b.assert_equal(&[(&y, &g), (&x, &dx), (&w, &dw)]);
    }

    /// The convolution by its definition in other ops: for each tap a strided slice of the padded image times a matrix.
    #[test]
    fn convolution_is_a_sum_over_taps(
        input in pair(1, 8), kernel in pair(1, 4), stride in pair(1, 4), pad_low in pair(0, 3),
        pad_high in pair(0, 3), dilation in pair(1, 3), groups in 1..4usize, ci in 1..3usize, co in 1..3usize,
    ) {
        let options = ConvOptions { stride, pad_low, pad_high, dilation, groups };
        let geometry = ConvGeometry { input, kernel, options };
        let Ok([oh, ow]) = geometry.output() else { return Ok(()) };
        let mut b = Bench::new();
        let x = b.normal(&[2, input[0], input[1], ci * groups]);
        let w = b.normal(&[kernel[0], kernel[1], ci, co * groups]);
        let g = b.normal(&[2, oh, ow, co * groups]);
        let padded = x.pad(&[0, pad_low[0], pad_low[1], 0], &[0, pad_high[0], pad_high[1], 0], &[0; 4]);
        let mut sum: Option<Tensor> = None;
        for ky in 0..kernel[0] {
            for kx in 0..kernel[1] {
                let start = [0, ky * dilation[0], kx * dilation[1], 0];
                let stop = [2, start[1] + (oh - 1) * stride[0] + 1, start[2] + (ow - 1) * stride[1] + 1, ci * groups];
                let taken = padded.slice_strided(&start, &stop, &[1, stride[0], stride[1], 1]);
                let flat = taken.reshape(&[2 * oh * ow, ci * groups]);
                let tap = w.slice(0, ky, ky + 1).slice(1, kx, kx + 1).reshape(&[ci, co * groups]);
                let parts: Vec<Tensor> = (0..groups)
                    .map(|k| flat.slice(1, k * ci, (k + 1) * ci).matmul(&tap.slice(1, k * co, (k + 1) * co)))
                    .collect();
                let product = Tensor::concat(&parts.iter().collect::<Vec<_>>(), 1).reshape(&[2, oh, ow, co * groups]);
                sum = Some(match sum { Some(s) => s + product, None => product });
            }
        }
        let y = x.conv_triad(ConvKind::Forward, geometry, &w);
        b.assert_equal(&[(&y, &g), (&sum.unwrap(), &g)]);
    }

    /// Window gather and scatter by one index.
    #[test]
    fn window_gather_and_scatter(
        input in pair(1, 8), window in pair(1, 4), stride in pair(1, 4), pad_low in pair(0, 3), pad_high in pair(0, 3),
        random in any::<bool>(),
    ) {
        let geometry = WindowGeometry { input, window, stride, pad_low, pad_high };
        let Ok([oh, ow]) = geometry.output() else { return Ok(()) };
        let mut b = Bench::new();
        let x = b.normal(&[2, input[0], input[1], 3]);
        let g = b.normal(&[2, oh, ow, 3]);
        // Chosen by the maximum, or anything at all: beyond the image it is clamped by both alike.
        let index = if random {
            let index = b.values.integers(&[2, oh, ow, 3], -3, 70);
            b.feed(index)
        } else {
            x.window(WindowKind::ArgMax, geometry, None)
        };
        let y = x.window(WindowKind::Gather, geometry, Some(&index));
        let back = g.window(WindowKind::Scatter, geometry, Some(&index));
        b.assert_equal(&[(&y, &g), (&x, &back)]);
    }

    /// Row gather and scatter-add by one index, with duplicates and indices out of range.
    #[test]
    fn gather_and_scatter_add(rows in 1..6usize, k in 0..9usize, batch in 0..3usize, inner in 0..3usize) {
        let mut b = Bench::new();
        let leading = &[2, 3][..batch];
        let width = &[4, 2][..inner];
        let x = b.normal(&[leading, &[rows], width].concat());
        let g = b.normal(&[leading, &[k], width].concat());
        let index = b.values.integers(&[leading, &[k]].concat(), -4, 10);
        let index = b.feed(index);
        let y = x.gather(&index, batch);
        let back = g.scatter_add(&index, batch, rows);
        b.assert_equal(&[(&y, &g), (&x, &back)]);
    }

    /// Padding and the strided slice that takes the elements out again.
    #[test]
    fn pad_and_slice(shape in pair(1, 6), low in pair(0, 4), high in pair(0, 4), interior in pair(0, 4)) {
        let mut b = Bench::new();
        let x = b.normal(&shape);
        let padded = x.pad(&low, &high, &interior);
        let y = b.normal(&padded.shape());
        let stop: Vec<usize> = (0..2).map(|i| low[i] + (shape[i] - 1) * (interior[i] + 1) + 1).collect();
        let back = y.slice_strided(&low, &stop, &interior.map(|s| s + 1));
        b.assert_equal(&[(&padded, &y), (&x, &back)]);
    }

    /// Broadcast and sum.
    #[test]
    fn broadcast_and_sum(shape in pair(1, 4), ones in [any::<bool>(), any::<bool>()], before in 1..4usize, between in 1..4usize) {
        let mut b = Bench::new();
        let own: Vec<usize> = (0..2).map(|i| if ones[i] { 1 } else { shape[i] }).collect();
        let x = b.normal(&own);
        let wide = x.broadcast_axes(&[before, shape[0], between, shape[1]], &[1, 3]);
        let y = b.normal(&wide.shape());
        let mut axes = vec![0, 2];
        axes.extend(ones[0].then_some(1));
        axes.extend(ones[1].then_some(3));
        axes.sort_unstable();
        let back = y.sum(&axes).reshape(&own);
        b.assert_equal(&[(&wide, &y), (&x, &back)]);
    }
}

/// A transposed convolution undoes the shape of the convolution, and turns its adjoint around.
#[test]
fn transposed_convolution_is_the_adjoint() {
    let mut b = Bench::new();
    let options = ConvOptions::default().stride(2).pad(1);
    let x = b.normal(&[2, 4, 4, 6]);
    let w = b.normal(&[4, 4, 3, 6]);
    let image = b.normal(&[2, 8, 8, 3]);
    let up = x.conv2d_transposed(&w, options, [8, 8]);
    let down = image.conv2d(&w, options);
    assert_eq!(up.ty(), TensorType::f32([2, 8, 8, 3]));
    b.assert_equal(&[(&up, &image), (&x, &down)]);
}
