//! Shapes, parameter counts and values of layers.

mod common;

use common::{array, close, run, values};
use ganymede_graph::{Array, DType, Graph, Tensor, TensorType};
use ganymede_nn::layers::*;
use ganymede_nn::{Init, Mode, RandomSource, Scope};
use std::collections::HashMap;

fn images(graph: &Graph, shape: &[usize]) -> Tensor {
    graph.feed("x", TensorType::f32(shape))
}

/// The DCGAN for 64x64 RGB images (Radford, Metz, Chintala 2015), as PyTorch's example has it.
fn dcgan_generator(scope: &Scope, z: &Tensor) -> Tensor {
    let mut x = reshape(&scope.child("reshape"), z, &[1, 1, 100]);
    for (i, channels) in [512, 256, 128, 64].into_iter().enumerate() {
        let layer = ConvTransposeLayer::new(channels, 4).no_bias();
        let layer = if i == 0 { layer } else { layer.stride(2).pad(1) };
        x = conv_transpose(&scope.child(&format!("up{i}")), &x, layer);
        x = batch_norm(&scope.child(&format!("norm{i}")), &x, BatchNorm::dcgan()).relu();
    }
    conv_transpose(&scope.child("image"), &x, ConvTransposeLayer::new(3, 4).stride(2).pad(1).no_bias()).tanh()
}

fn dcgan_discriminator(scope: &Scope, x: &Tensor) -> Tensor {
    let mut x = x.clone();
    for (i, channels) in [64, 128, 256, 512].into_iter().enumerate() {
        x = conv(
            &scope.child(&format!("down{i}")),
            &x,
            ConvLayer::new(channels, 4).stride(2).pad(1).no_bias(),
        );
        if i > 0 {
            x = batch_norm(&scope.child(&format!("norm{i}")), &x, BatchNorm::dcgan());
        }
        x = x.leaky_relu(0.2);
    }
    conv(&scope.child("logit"), &x, ConvLayer::new(1, 4).no_bias())
}

#[test]
fn dcgan_has_the_published_parameter_counts() {
    let graph = Graph::new();
    let z = graph.feed("z", TensorType::f32([2, 100]));
    let (g, d) = (Scope::root(&graph, "G", Mode::train()), Scope::root(&graph, "D", Mode::train()));
    let fake = dcgan_generator(&g, &z);
    assert_eq!(fake.shape(), [2, 64, 64, 3]);
    assert_eq!(dcgan_discriminator(&d, &fake).shape(), [2, 1, 1, 1]);
    assert!(graph.error().is_none());
    assert_eq!(g.params().count_trainable(), 3_576_704);
    assert_eq!(d.params().count_trainable(), 2_765_568);
    assert_eq!(g.params().count_buffers(), 2 * (512 + 256 + 128 + 64));
    assert_eq!(g.layers().iter().map(|row| row.parameters).sum::<usize>(), 3_576_704);
    assert_eq!(g.params().get("G/up1/weight").map(|s| s.ty.shape.clone()), Some(vec![4, 4, 256, 512]));
}

#[test]
fn a_network_applied_twice_has_its_parameters_once() {
    let graph = Graph::new();
    let root = Scope::root(&graph, "D", Mode::train());
    let x = images(&graph, &[4, 64, 64, 3]);
    dcgan_discriminator(&root, &x);
    let (params, rows) = (root.params(), root.layers());
    // The second batch: running statistics may be updated once a phase only.
    let second = root.with_mode(Mode::train_frozen_statistics());
    dcgan_discriminator(&second, &(&x * 2.0));
    assert!(graph.error().is_none());
    assert_eq!(root.params(), params);
    assert_eq!(root.layers(), rows);
    dcgan_discriminator(&root, &x);
    let error = graph.error().unwrap();
    assert!(error.message.contains("running_mean` is updated twice"), "{error}");
    assert_eq!(error.path, "D/norm1");
}

#[test]
fn a_parameter_declared_with_another_shape_is_an_error() {
    let graph = Graph::new();
    let root = Scope::root(&graph, "G", Mode::train());
    let x = graph.feed("x", TensorType::f32([2, 3]));
    dense(&root.child("a"), &x, DenseLayer::new(4));
    dense(&root.child("a"), &x, DenseLayer::new(5));
    let error = graph.error().unwrap().to_string();
    let expected = "parameter at G/a: `G/a/weight` is already declared as parameter f32[3, 4] from glorot_uniform, \
                    now as parameter f32[3, 5] from glorot_uniform; layers that do not share weights need scopes of \
                    their own";
    assert_eq!(error, expected);
}

#[test]
fn impossible_parameters_are_refused() {
    for units in [0, usize::MAX / 2] {
        let graph = Graph::new();
        let x = graph.feed("x", TensorType::f32([2, 3]));
        dense(&Scope::root(&graph, "G", Mode::train()), &x, DenseLayer::new(units));
        let error = graph.error().unwrap().to_string();
        assert!(error.contains("1 to 2^31 elements are possible"), "{error}");
    }
}

#[test]
fn scopes_entered_inside_each_other_do_not_repeat_their_path() {
    let graph = Graph::new();
    let root = Scope::root(&graph, "D", Mode::train());
    let _phase = graph.scope("step");
    let _a = root.enter();
    let block = root.child("block");
    let _b = block.enter();
    let _c = block.enter();
    assert_eq!(&*graph.path(), "step/D/block");
    let other = Scope::root(&graph, "G", Mode::train()).child("block");
    let _d = other.enter();
    assert_eq!(&*graph.path(), "step/D/block/G/block");
}

#[test]
fn a_prefix_names_other_slots_of_the_same_parameters() {
    let graph = Graph::new();
    let root = Scope::root(&graph, "G", Mode::eval().with_prefix("ema/"));
    let x = graph.feed("x", TensorType::f32([2, 3]));
    batch_norm(&root.child("norm"), &x, BatchNorm::default());
    let names: Vec<String> = graph.finish().unwrap().inputs.iter().map(|i| i.name.clone()).collect();
    assert!(names.contains(&"ema/G/norm/running_mean".to_string()), "{names:?}");
    assert!(root.params().get("G/norm/running_mean").is_some());
    assert_eq!(root.trainable().len(), 2);
    assert_eq!(root.buffers()[1].0, "G/norm/running_var");
}

/// Batch norm by its formula, channel by channel, on rows of `c` channels.
fn batch_norm_by_hand(x: &[f64], c: usize, weight: &[f64], bias: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let n = (x.len() / c) as f64;
    let mean: Vec<f64> = (0..c).map(|k| x.iter().skip(k).step_by(c).sum::<f64>() / n).collect();
    let var: Vec<f64> =
        (0..c).map(|k| x.iter().skip(k).step_by(c).map(|v| (v - mean[k]).powi(2)).sum::<f64>() / n).collect();
    let y = x
        .iter()
        .enumerate()
        .map(|(i, v)| (v - mean[i % c]) / (var[i % c] + 1e-5).sqrt() * weight[i % c] + bias[i % c])
        .collect();
    (y, mean, var)
}

#[test]
fn batch_norm_follows_its_formula_and_moves_its_statistics() {
    for shape in [vec![6, 3], vec![2, 3, 4, 3]] {
        let graph = Graph::new();
        let root = Scope::root(&graph, "D", Mode::train());
        let x = images(&graph, &shape);
        graph.output("train", &batch_norm(&root, &x, BatchNorm::default()));
        graph.output("eval", &batch_norm(&root.with_mode(Mode::eval()), &x, BatchNorm::default()));
        let (input, weight, bias) = (array(1, &shape), values(2, 3), values(3, 3));
        let (mean0, var0) = (values(4, 3), vec![0.5, 1.0, 2.0]);
        let inputs = HashMap::from([
            ("x".to_string(), input.clone()),
            ("D/weight".to_string(), Array::f32(&[3], weight.clone())),
            ("D/bias".to_string(), Array::f32(&[3], bias.clone())),
            ("D/running_mean".to_string(), Array::f32(&[3], mean0.clone())),
            ("D/running_var".to_string(), Array::f32(&[3], var0.clone())),
        ]);
        let out = run(&graph, &inputs);
        let (y, mean, var) = batch_norm_by_hand(input.floats(), 3, &weight, &bias);
        close(out.outputs["train"].floats(), &y, 1e-12);
        let n = (input.floats().len() / 3) as f64;
        let moved = |old: &[f64], new: &[f64], factor: f64| -> Vec<f64> {
            old.iter().zip(new).map(|(o, v)| 0.9 * o + 0.1 * factor * v).collect()
        };
        close(out.updates["D/running_mean"].floats(), &moved(&mean0, &mean, 1.0), 1e-13);
        close(out.updates["D/running_var"].floats(), &moved(&var0, &var, n / (n - 1.0)), 1e-13);
        let fixed: Vec<f64> = input
            .floats()
            .iter()
            .enumerate()
            .map(|(i, v)| (v - mean0[i % 3]) / (var0[i % 3] + 1e-5).sqrt() * weight[i % 3] + bias[i % 3])
            .collect();
        close(out.outputs["eval"].floats(), &fixed, 1e-12);
    }
}

#[test]
fn batch_norm_of_one_value_a_channel_cannot_train() {
    let graph = Graph::new();
    batch_norm(&Scope::root(&graph, "G", Mode::train()), &images(&graph, &[1, 8]), BatchNorm::default());
    let error = graph.error().unwrap().to_string();
    assert_eq!(error, "batch_norm at G: needs at least 2 values a channel to train, f32[1, 8] has 1");
}

/// Mean 0 and variance 1 over the given groups of elements, up to eps.
#[test]
fn layer_instance_and_group_norm_normalise_their_groups() {
    type Build = fn(&Scope, &Tensor) -> Tensor;
    type Group = fn(usize, usize) -> usize;
    // Shape [2, 3, 3, 4]: the group of (image, channel).
    let cases: [(Build, Group); 3] = [
        (|s, x| layer_norm(s, x, Norm::default()), |n, _| n),
        (|s, x| instance_norm(s, x, Norm::default()), |n, c| 4 * n + c),
        (|s, x| group_norm(s, x, 2, Norm::default()), |n, c| 2 * n + c / 2),
    ];
    for (build, group) in cases {
        let graph = Graph::new();
        let x = images(&graph, &[2, 3, 3, 4]);
        graph.output("y", &build(&Scope::root(&graph, "D", Mode::train()), &x));
        let (weight, bias) = (values(5, 4), values(6, 4));
        let input = array(7, &[2, 3, 3, 4]);
        let inputs = HashMap::from([
            ("x".to_string(), input.clone()),
            ("D/weight".to_string(), Array::f32(&[4], weight.clone())),
            ("D/bias".to_string(), Array::f32(&[4], bias.clone())),
        ]);
        let place = |i: usize| (i / 36, i % 4);
        let member = |i: usize| group(place(i).0, place(i).1);
        let x = input.floats();
        let expected: Vec<f64> = (0..72)
            .map(|i| {
                let own: Vec<f64> = (0..72).filter(|&j| member(j) == member(i)).map(|j| x[j]).collect();
                let mean = own.iter().sum::<f64>() / own.len() as f64;
                let var = own.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / own.len() as f64;
                (x[i] - mean) / (var + 1e-5).sqrt() * weight[i % 4] + bias[i % 4]
            })
            .collect();
        close(run(&graph, &inputs).outputs["y"].floats(), &expected, 1e-12);
    }
}

fn conv_shape(layer: ConvLayer, input: &[usize]) -> Vec<usize> {
    let graph = Graph::new();
    let y = conv(&Scope::root(&graph, "D", Mode::train()), &images(&graph, input), layer);
    assert!(graph.error().is_none(), "{:?}", graph.error());
    y.shape()
}

fn transposed_shape(layer: ConvTransposeLayer, input: &[usize]) -> Vec<usize> {
    let graph = Graph::new();
    let y = conv_transpose(&Scope::root(&graph, "G", Mode::train()), &images(&graph, input), layer);
    assert!(graph.error().is_none(), "{:?}", graph.error());
    y.shape()
}

#[test]
fn convolutions_have_the_sizes_of_their_formulas() {
    assert_eq!(conv_shape(ConvLayer::new(8, 5), &[2, 28, 28, 1]), [2, 24, 24, 8]);
    assert_eq!(conv_shape(ConvLayer::new(8, 4).stride(2).pad(1), &[2, 28, 28, 3]), [2, 14, 14, 8]);
    let same = ConvLayer::new(8, 5).stride(2).padding(Padding::Same);
    assert_eq!(conv_shape(same, &[2, 28, 27, 3]), [2, 14, 14, 8]);
    assert_eq!(conv_shape(same, &[2, 7, 7, 3]), [2, 4, 4, 8]);
    assert_eq!(conv_shape(ConvLayer::new(8, 3).groups(4).pad(1), &[2, 7, 7, 8]), [2, 7, 7, 8]);
    for (layer, input, output) in [
        (ConvTransposeLayer::new(8, 4), 1, 4),
        (ConvTransposeLayer::new(8, 4).stride(2).pad(1), 7, 14),
        (ConvTransposeLayer::new(8, 5).stride(2), 7, 17),
        (ConvTransposeLayer { output_pad: 1, ..ConvTransposeLayer::new(8, 5).stride(2).pad(2) }, 7, 14),
        (ConvTransposeLayer::new(8, 5).stride(2).padding(Padding::Same), 7, 14),
        (ConvTransposeLayer::new(8, 5).padding(Padding::Same), 7, 7),
        (ConvTransposeLayer::new(8, 2).stride(3).padding(Padding::Same), 7, 21),
    ] {
        assert_eq!(transposed_shape(layer, &[2, input, input, 3]), [2, output, output, 8], "{layer:?}");
    }
}

/// <conv(x), y> = <x, conv_transpose(y)> with the same weights: one is the adjoint of the other.
#[test]
fn the_transposed_convolution_is_the_adjoint_of_the_convolution() {
    for (kernel, stride, padding) in
        [(4, 2, Padding::Each(1)), (5, 2, Padding::Same), (3, 1, Padding::Valid), (5, 1, Padding::Same)]
    {
        let graph = Graph::new();
        let x = graph.feed("x", TensorType::f32([2, 8, 8, 3]));
        let forward = ConvLayer::new(5, kernel).stride(stride).padding(padding).no_bias();
        let y = conv(&Scope::root(&graph, "A", Mode::train()), &x, forward);
        let g = graph.feed("g", y.ty());
        let back = ConvTransposeLayer::new(3, kernel).stride(stride).padding(padding).no_bias();
        let t = conv_transpose(&Scope::root(&graph, "B", Mode::train()), &g, back);
        graph.output("forward", &(&y * &g).sum_all());
        graph.output("backward", &(&t * &x).sum_all());
        let weight = array(1, &[kernel, kernel, 3, 5]);
        let inputs = HashMap::from([
            ("x".to_string(), array(2, &[2, 8, 8, 3])),
            ("g".to_string(), array(3, &y.shape())),
            ("A/weight".to_string(), weight.clone()),
            ("B/weight".to_string(), weight),
        ]);
        let out = run(&graph, &inputs);
        close(out.outputs["backward"].floats(), out.outputs["forward"].floats(), 1e-11);
    }
}

#[test]
fn dense_embedding_pooling_and_resampling_compute_what_they_say() {
    let graph = Graph::new();
    let root = Scope::root(&graph, "N", Mode::eval());
    let v = graph.feed("v", TensorType::f32([2, 3]));
    graph.output("dense", &dense(&root.child("dense"), &v, DenseLayer::new(2)));
    let label = graph.feed("label", TensorType::new(DType::I32, [2]));
    graph.output("embedding", &embedding(&root.child("embedding"), &label, 3, 2, Init::Zeros));
    let x = images(&graph, &[1, 2, 2, 1]);
    graph.output("max", &max_pool(&root.child("max"), &x, Pool::tiles(2)));
    graph.output("avg", &avg_pool(&root.child("avg"), &x, Pool::tiles(2)));
    graph.output("global", &global_avg_pool(&root.child("global"), &x));
    graph.output("down", &downsample(&root.child("down"), &x));
    graph.output("nearest", &upsample(&root.child("nearest"), &x, Upsampling::Nearest));
    let double = upsample(&root.child("bilinear"), &x, Upsampling::Bilinear);
    graph.output("bilinear", &double);
    graph.output("flat", &flatten(&root.child("flat"), &double));
    let inputs = HashMap::from([
        ("v".to_string(), Array::f32(&[2, 3], vec![1.0, 2.0, 3.0, -1.0, 0.0, 1.0])),
        ("N/dense/weight".to_string(), Array::f32(&[3, 2], vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0])),
        ("N/dense/bias".to_string(), Array::f32(&[2], vec![0.5, -0.5])),
        ("label".to_string(), Array::i32(&[2], vec![2, 0])),
        ("N/embedding/weight".to_string(), Array::f32(&[3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("x".to_string(), Array::f32(&[1, 2, 2, 1], vec![1.0, 2.0, 3.0, 6.0])),
    ]);
    let out = run(&graph, &inputs);
    let got = |name: &str| out.outputs[name].floats().to_vec();
    assert_eq!(got("dense"), [4.5, 4.5, 0.5, 0.5]);
    assert_eq!(got("embedding"), [5.0, 6.0, 1.0, 2.0]);
    assert_eq!([got("max"), got("avg"), got("global"), got("down")].concat(), [6.0, 3.0, 3.0, 3.0]);
    let rows = [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 6.0, 6.0], [3.0, 3.0, 6.0, 6.0]];
    assert_eq!(got("nearest"), rows.concat());
    // First row of the bilinear image: 1, .75 1 + .25 2, .25 1 + .75 2, 2.
    assert_eq!(got("bilinear")[..4], [1.0, 1.25, 1.75, 2.0]);
    assert_eq!(out.outputs["flat"].ty.shape, [1, 16]);
}

#[test]
fn fourier_features_hold_the_coordinates_and_their_octaves() {
    let graph = Graph::new();
    let root = Scope::root(&graph, "N", Mode::eval());
    let x = graph.feed("x", TensorType::f32([1, 2]));
    graph.output("y", &fourier_features(&root, &x, 2));
    let out = run(&graph, &HashMap::from([("x".to_string(), Array::f32(&[1, 2], vec![0.5, -0.25]))]));
    let h = 0.5_f64.sqrt();
    // x, sin pi x, cos pi x, sin 2 pi x, cos 2 pi x for both coordinates.
    let expected = [0.5, -0.25, 1.0, -h, 0.0, h, 0.0, -1.0, -1.0, 0.0];
    assert_eq!(out.outputs["y"].ty.shape, [1, 10]);
    for (got, expected) in out.outputs["y"].floats().iter().zip(expected) {
        assert!((got - expected).abs() < 1e-6, "{:?}", out.outputs["y"]);
    }

    for (octaves, shape) in [(0, vec![1, 2]), (17, vec![1, 2]), (2, vec![4])] {
        let graph = Graph::new();
        let x = graph.feed("x", TensorType::f32(shape));
        let y = fourier_features(&Scope::root(&graph, "N", Mode::eval()), &x, octaves);
        assert!(y.is_poisoned());
        assert!(graph.finish().unwrap_err().to_string().contains("fourier_features"));
    }
}

#[test]
fn dropout_keeps_the_mean_and_draws_anew_at_each_use() {
    let graph = Graph::new();
    let pair = TensorType::new(DType::U32, [2]);
    let random = RandomSource::new(&graph.feed("key", pair.clone()), &graph.feed("first", pair));
    let root = Scope::root(&graph, "D", Mode::train().with_random(random));
    let x = images(&graph, &[64, 64]);
    graph.output("a", &dropout(&root, &x, 0.25));
    graph.output("b", &dropout(&root, &x, 0.25));
    graph.output("eval", &dropout(&root.with_mode(Mode::eval()), &x, 0.25));
    let inputs = |first: u32| {
        HashMap::from([
            ("key".to_string(), Array::u32(&[2], vec![7, 8])),
            ("first".to_string(), Array::u32(&[2], vec![first, 0])),
            ("x".to_string(), Array::f32(&[64, 64], vec![1.0; 4096])),
        ])
    };
    let out = run(&graph, &inputs(0));
    let (a, b) = (out.outputs["a"].floats().to_vec(), out.outputs["b"].floats().to_vec());
    let dropped = a.iter().filter(|v| **v == 0.0).count() as f64 / 4096.0;
    // Five standard deviations of a binomial share.
    assert!((dropped - 0.25).abs() < 5.0 * (0.25f64 * 0.75 / 4096.0).sqrt(), "{dropped}");
    assert!(a.iter().all(|v| *v == 0.0 || *v == 1.0 / 0.75));
    assert_ne!(a, b);
    assert_eq!(out.outputs["eval"].floats(), vec![1.0; 4096]);
    // A sample's mask goes with its global index.
    let shifted = run(&graph, &inputs(1));
    assert_eq!(shifted.outputs["a"].floats()[..63 * 64], a[64..]);

    let graph = Graph::new();
    dropout(&Scope::root(&graph, "D", Mode::train()), &images(&graph, &[2, 2]), 0.5);
    assert!(graph.error().unwrap().message.contains("Mode::with_random"));
}

#[test]
fn wrong_inputs_are_answered_with_the_layer_and_what_to_do() {
    type Build = fn(&Scope, &Tensor) -> Tensor;
    let cases: [(Build, &[usize], &str); 7] = [
        (|s, x| conv(s, x, ConvLayer::new(4, 3)), &[2, 9], "turn vectors into images with a reshape"),
        (|s, x| dense(s, x, DenseLayer::new(4)), &[2, 3, 3, 1], "flatten it first"),
        (|s, x| conv(s, x, ConvLayer::new(4, 5)), &[2, 3, 3, 1], "does not fit into 3"),
        (|s, x| conv(s, x, ConvLayer::new(4, 3).groups(3)), &[2, 9, 9, 4], "do not divide into 3 groups"),
        (|s, x| conv_transpose(s, x, ConvTransposeLayer::new(4, 2).pad(3)), &[2, 3, 3, 1], "nothing is left"),
        (
            |s, x| group_norm(s, x, 3, Norm::default()),
            &[2, 3, 3, 4],
            "4 channels do not divide into 3 groups",
        ),
        (|s, x| downsample(s, x), &[2, 3, 4, 1], "even height and width, got 3x4"),
    ];
    for (build, shape, part) in cases {
        let graph = Graph::new();
        let y = build(&Scope::root(&graph, "G", Mode::train()), &images(&graph, shape));
        assert!(y.is_poisoned());
        let error = graph.error().unwrap().to_string();
        assert!(error.contains(part) && error.contains(" at G: "), "{error}");
    }
}
