//! Networks from text lines: the registry, the guides' networks, and an error for each kind of mistake.

mod common;

use ganymede_graph::{Array, DType, Graph, Tensor, TensorType, grad};
use ganymede_nn::{ClassLabels, LAYERS, Mode, Network, RandomSource, Scope, summary};
use std::collections::HashMap;

/// Of samples, where a layer is told them.
const CLASSES: usize = 3;

/// Classes of `count` samples, fed as `labels`.
fn labels(graph: &Graph, count: usize) -> ClassLabels {
    let index = graph.feed("labels", TensorType::new(DType::I32, [count]));
    ClassLabels { index, classes: CLASSES }
}

#[test]
fn the_registry_tests_itself() {
    let mut names = std::collections::HashSet::new();
    for word in LAYERS {
        let name = word.name();
        assert!(names.insert(name), "`{name}` twice");
        assert!(word.doc().len() > 5, "{name}");
        assert!(word.usage().starts_with(name) && word.example().starts_with(name), "{name}");
        let network = Network::parse(&[word.example()]).unwrap_or_else(|e| panic!("{e}"));
        let (rows, _) =
            network.inspect_with(word.example_input(), 4, Some(CLASSES)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(rows.len(), 1, "{name} records one row");
        assert_eq!(rows[0].path, format!("{name}1"));
        assert_eq!(rows[0].output[0], 4);
    }
}

/// Two batches that differ in their second sample: the first one's output differs where the layer says that it mixes
/// samples, and nowhere else.
#[test]
fn layers_say_whether_they_mix_samples() {
    for word in LAYERS {
        let network = Network::parse(&[word.example()]).unwrap();
        let graph = Graph::new();
        let pair = || TensorType::new(DType::U32, [2]);
        let random = RandomSource::new(&graph.feed("key", pair()), &graph.feed("first", pair()));
        let scope =
            Scope::root(&graph, "D", Mode::train().with_random(random)).with_labels(Some(labels(&graph, 2)));
        let shape = [&[2], word.example_input()].concat();
        let y = network.build(&scope, &graph.feed("x", TensorType::f32(shape.clone())));
        graph.output("y", &y);
        let mut inputs: HashMap<String, Array> =
            ["key", "first"].map(|name| (name.to_string(), Array::u32(&[2], vec![3, 0]))).into();
        inputs.insert("labels".into(), Array::i32(&[2], vec![2, 1]));
        for spec in scope.params().iter() {
            inputs.insert(spec.name.clone(), Array::from_f32(&spec.ty.shape, &spec.initialize([1, 2])));
        }
        let mut first_sample = |other: u64| {
            let sample = shape[1..].iter().product();
            let x = [common::values(1, sample), common::values(other, sample)].concat();
            inputs.insert("x".into(), Array::f32(&shape, x));
            let y = &common::run(&graph, &inputs).outputs["y"];
            y.floats()[..y.floats().len() / 2].to_vec()
        };
        let differs = first_sample(2) != first_sample(3);
        assert_eq!(network.mixes_samples(), differs, "{}", word.example());
    }
    // One line of a list is enough.
    assert!(Network::parse(&["dense 3", "batch_norm", "dense 1"]).unwrap().mixes_samples());
    assert!(!Network::parse(&["dense 3", "layer_norm", "dense 1"]).unwrap().mixes_samples());
}

#[test]
fn the_guides_networks_have_their_sizes() {
    let dense = ["dense 128 relu", "dense 128 relu", "dense 784 tanh", "reshape 28 28 1"];
    let rows = Network::parse(&dense).unwrap().check(&[100], 32).unwrap();
    assert_eq!(rows.last().unwrap().output, [32, 28, 28, 1]);
    let counts: Vec<usize> = rows.iter().map(|r| r.parameters).collect();
    assert_eq!(counts, [100 * 128 + 128, 128 * 128 + 128, 128 * 784 + 784, 0]);
    let paths: Vec<&str> = rows.iter().map(|r| r.path.as_str()).collect();
    assert_eq!(paths, ["dense1", "dense2", "dense3", "reshape1"]);

    let critic = [
        "conv 64 5 pad=same leaky_relu=0.3",
        "batch_norm",
        "flatten",
        "dense 1024",
        "leaky_relu 0.3",
        "dense 1",
    ];
    let (rows, params) = Network::parse(&critic).unwrap().inspect(&[24, 24, 1], 32).unwrap();
    assert_eq!(rows.last().unwrap().output, [32, 1]);
    // Weights and biases of conv, dense 1024 and dense 1, scale and shift of the norm.
    assert_eq!(params.count_trainable(), 64 * 26 + 128 + (24 * 24 * 64 + 1) * 1024 + 1025);

    let deconv = [
        "conv 64 5 stride=2 pad=same relu",
        "max_pool 2",
        "conv 128 5 stride=2 pad=same relu",
        "flatten",
        "dropout 0.3",
        "dense 1",
    ];
    let rows = Network::parse(&deconv).unwrap().check(&[28, 28, 1], 32).unwrap();
    assert_eq!(rows[2].output, [32, 4, 4, 128]);
    let table = summary::table(&rows, &Network::parse(&deconv).unwrap().inspect(&[28, 28, 1], 32).unwrap().1);
    assert!(
        table.contains("conv2") && table.contains("[N, 4, 4, 128]") && table.contains("204,928"),
        "{table}"
    );
}

#[test]
fn dcgan_as_a_list_has_the_published_parameter_counts() {
    let mut lines =
        vec!["reshape 1 1 100".to_string(), "conv_transpose 512 4 no_bias init=normal:0.02".to_string()];
    for channels in [256, 128, 64] {
        lines.push("batch_norm init=normal:1:0.02 relu".into());
        lines.push(format!("conv_transpose {channels} 4 stride=2 pad=1 no_bias init=normal:0.02"));
    }
    lines.push("batch_norm relu".into());
    lines.push("conv_transpose 3 4 stride=2 pad=1 no_bias tanh".into());
    let (rows, params) = Network::parse(&lines).unwrap().inspect(&[100], 8).unwrap();
    assert_eq!(rows.last().unwrap().output, [8, 64, 64, 3]);
    assert_eq!(params.count_trainable(), 3_576_704);
}

#[test]
fn a_list_builds_under_its_scope() {
    let graph = Graph::new();
    let scope = Scope::root(&graph, "D", Mode::train());
    let x = graph.feed("x", TensorType::f32([4, 8, 8, 1]));
    let network = Network::parse(&["conv 8 3 pad=1 relu", "conv 8 3", "flatten", "dense 1"]).unwrap();
    assert_eq!(network.lines().nth(1), Some("conv 8 3"));
    let y = network.build(&scope, &x);
    assert_eq!(y.shape(), [4, 1]);
    let names: Vec<String> = scope.trainable().into_iter().map(|(n, _)| n).collect();
    let expected =
        ["conv1/weight", "conv1/bias", "conv2/weight", "conv2/bias", "dense1/weight", "dense1/bias"];
    assert_eq!(names, expected.map(|n| format!("D/{n}")));
}

#[track_caller]
fn refuses(lines: &[&str], input: &[usize], line: usize, part: &str) {
    let error = match Network::parse(lines) {
        Err(error) => error,
        Ok(network) => network.check(input, 16).expect_err("the list should not fit"),
    };
    assert_eq!(error.line, line, "{error}");
    assert!(error.to_string().contains(part), "{error}");
    assert!(error.to_string().starts_with(&format!("layer {line} (`")), "{error}");
}

#[test]
fn words_and_options_that_are_unknown_get_the_nearest() {
    refuses(&["dense 8", "dens 8"], &[4], 2, "there is no layer `dens`; did you mean `dense`?");
    refuses(&["batchnorm"], &[4], 1, "did you mean `batch_norm`?");
    refuses(&["transformer 8"], &[4], 1, "known: dense, conv");
    refuses(&["dense 8 leaky_rleu"], &[4], 1, "did you mean `leaky_relu`?");
    refuses(&["conv 8 3 strde=2"], &[8, 8, 1], 1, "did you mean `stride`?");
    refuses(&["conv 8 3 init=norml:0.02"], &[8, 8, 1], 1, "did you mean `normal`?");
    refuses(&["upsample nearst"], &[8, 8, 1], 1, "did you mean `nearest`?");
    refuses(&["fourier_features 17"], &[2], 1, "OCTAVES must be 1 to 16, got 17");
    refuses(&["flatten 3"], &[8, 8, 1], 1, "one number too many; usage: `flatten`");
    refuses(&["dense 8 no_bias=1"], &[4], 1, "`no_bias` takes no value");
    refuses(&["conv 8 3 stride"], &[8, 8, 1], 1, "`stride` does not fit here");
}

#[test]
fn arguments_that_are_missing_doubled_or_out_of_range_are_named() {
    refuses(&[], &[4], 1, "needs at least one layer");
    refuses(&["dense 8", "  "], &[4], 2, "the line is empty");
    refuses(&["dense"], &[4], 1, "UNITS is missing; usage: `dense UNITS");
    refuses(&["dense relu"], &[4], 1, "UNITS is missing");
    refuses(&["dense 0"], &[4], 1, "UNITS must be from 1 to 16777216, got 0");
    refuses(&["dense 1.5"], &[4], 1, "UNITS must be a whole number");
    refuses(&["dense -3"], &[4], 1, "UNITS must be a whole number");
    refuses(&["dense 99999999999999999999"], &[4], 1, "UNITS must be a whole number");
    refuses(&["dense 8 relu tanh"], &[4], 1, "`tanh` does not fit here");
    refuses(&["dense 8 relu leaky_relu=0.1"], &[4], 1, "two activations");
    refuses(&["dense 8 leaky_relu=x"], &[4], 1, "`x` is not a slope");
    refuses(&["conv 8"], &[8, 8, 1], 1, "KERNEL is missing");
    refuses(&["conv 8 3 stride=0"], &[8, 8, 1], 1, "stride must be from 1");
    refuses(&["conv 8 3 stride=2 stride=3"], &[8, 8, 1], 1, "`stride` is given twice");
    refuses(&["conv 8 3 pad=some"], &[8, 8, 1], 1, "write `pad=1`, `pad=same` or `pad=valid`");
    refuses(&["conv_transpose 8 4 stride=2 output_pad=2"], &[8, 8, 1], 1, "output_pad must be smaller");
    refuses(&["conv_transpose 8 4 stride=2 pad=same output_pad=1"], &[8, 8, 1], 1, "leave output_pad out");
    refuses(&["max_pool 2 pad=2"], &[8, 8, 1], 1, "pad must be smaller than the window");
    refuses(&["dropout 1"], &[4], 1, "RATE must be at least 0 and below 1");
    refuses(&["dropout"], &[4], 1, "RATE is missing");
    refuses(&["batch_norm momentum=2"], &[4], 1, "momentum must be from 0 to 1");
    refuses(&["batch_norm eps=0"], &[4], 1, "eps must be above 0");
    refuses(&["batch_norm eps=inf"], &[4], 1, "eps must be a finite number");
    refuses(&["reshape"], &[4], 1, "SIZE is missing");
    refuses(&["reshape 1 1 1 1 4"], &[4], 1, "at most 4 sizes");
    refuses(&["leaky_relu nan"], &[4], 1, "`nan` is unknown");
}

#[test]
fn shapes_that_do_not_fit_name_the_line_expected_and_got() {
    refuses(&["dense 784 tanh", "conv 8 3"], &[100], 2, "expected images [N, H, W, C], got f32[16, 784]");
    refuses(&["conv 8 3", "dense 1"], &[8, 8, 1], 2, "got f32[16, 6, 6, 8]; flatten it first");
    refuses(
        &["dense 128", "reshape 28 28 1"],
        &[100],
        2,
        "each sample has 128 values ([128]); [28, 28, 1] would need 784",
    );
    refuses(&["conv 8 9"], &[8, 8, 1], 1, "a kernel reaching over 9 pixels does not fit into 8");
    refuses(&["conv 8 3 groups=3"], &[8, 8, 4], 1, "do not divide into 3 groups");
    refuses(&["group_norm 3"], &[8, 8, 4], 1, "4 channels do not divide into 3 groups");
    refuses(&["max_pool 9"], &[8, 8, 4], 1, "does not fit into 8");
    refuses(&["downsample"], &[7, 8, 4], 1, "even height and width, got 7x8");
    refuses(&["dense 8"], &[0], 1, "1 to 2^31 elements are possible");
}

#[test]
fn absurd_sizes_are_refused_without_overflow() {
    let most = 1usize << 24;
    refuses(&[&format!("dense {most}")], &[200], 1, "1 to 2^31 elements are possible");
    refuses(&[&format!("conv {most} {most}")], &[8, 8, 1], 1, "1 to 2^31 elements are possible");
    refuses(&[&format!("conv 1 1 pad={most}")], &[8, 8, 1], 1, "has more than 2147483648 elements");
    refuses(
        &[&format!("conv_transpose 1 1 stride={most}")],
        &[8, 8, 1],
        1,
        "has more than 2147483648 elements",
    );
    refuses(&[&format!("reshape {most} {most} {most} {most}")], &[8], 1, "would need more than 2^31");
    refuses(&["dense 2"], &[usize::MAX / 2, 8], 1, "1 to 2^31 elements are possible");
}

/// The examples with random sizes and options put in, on random inputs: read, refused or built, never a panic.
#[test]
fn no_line_makes_the_reader_panic() {
    let sizes = ["0", "1", "2", "3", "4", "16777216", "-1", "1e9", "x"];
    let options = [
        "stride=2",
        "stride=16777216",
        "pad=1",
        "pad=same",
        "pad=16777216",
        "groups=2",
        "groups=16777216",
        "dilation=16777216",
        "output_pad=1",
        "no_bias",
        "no_scale",
        "relu",
        "leaky_relu=0.2",
        "init=torch",
        "init=orthogonal",
        "eps=1e-3",
        "momentum=1",
        "=",
        "==",
        "a=b=c",
        "nearest",
        "bilinear",
    ];
    let inputs: [&[usize]; 5] = [&[4], &[6, 6, 4], &[1, 1, 1], &[1 << 20, 1 << 10], &[]];
    let (mut read, mut built) = (0, 0);
    for case in 0..4000 {
        let draws = common::values(case, 16);
        let mut draws = draws.iter();
        let mut pick = |n: usize| draws.next().map_or(0, |v| ((v + 1.0) / 2.0 * n as f64) as usize % n);
        let mut lines = Vec::new();
        let first = LAYERS[pick(LAYERS.len())];
        for word in [first, LAYERS[pick(LAYERS.len())]].into_iter().take(1 + pick(2)) {
            let mut tokens: Vec<&str> = word.example().split(' ').collect();
            if tokens.len() > 1 && pick(2) == 0 {
                let at = 1 + pick(tokens.len() - 1);
                tokens[at] = sizes[pick(sizes.len())];
            }
            if pick(2) == 0 {
                tokens.push(options[pick(options.len())]);
            }
            lines.push(tokens.join(" "));
        }
        if let Ok(network) = Network::parse(&lines) {
            read += 1;
            let input = if pick(2) == 0 { first.example_input() } else { inputs[pick(inputs.len())] };
            built += usize::from(network.check(input, pick(3)).is_ok());
        }
    }
    assert!(read > 1000 && built > 300, "{read} lists read, {built} built: the cases test too little");
}

/// Outputs `y` of the network for the given batches (each a state of its own under `x0`, `x1`), its updates, and the
/// gradients of a weighted sum of all outputs, which lets no part of them cancel.
fn outcome(network: &Network, shape: &[usize], together: bool) -> Vec<Vec<f64>> {
    let graph = Graph::new();
    let pair = TensorType::new(DType::U32, [2]);
    let random = RandomSource::new(&graph.feed("key", pair.clone()), &graph.feed("first", pair));
    let x = ["x0", "x1"].map(|name| graph.feed(name, TensorType::f32(shape)));
    // The second batch's statistics are kept.
    let mode = Mode::train().with_random(random.clone());
    let frozen = Mode::train_frozen_statistics().with_random(random);
    let scope = Scope::root(&graph, "D", mode.clone().with_segments(2, 1));
    let told = labels(&graph, shape[0]);
    let y = if together {
        let index = Tensor::concat(&[&told.index, &told.index], 0);
        let scope = scope.with_labels(Some(ClassLabels { index, ..told }));
        network.build(&scope, &Tensor::concat(&[&x[0], &x[1]], 0))
    } else {
        let scope = scope.with_labels(Some(told));
        let first = network.build(&scope.with_mode(frozen), &x[0]);
        Tensor::concat(&[&first, &network.build(&scope.with_mode(mode), &x[1])], 0)
    };
    graph.output("y", &y);
    let weights = graph.feed("weights", TensorType::f32(y.shape()));
    let params = scope.trainable();
    let variables: Vec<&Tensor> = params.iter().map(|(_, t)| t).collect();
    for (i, g) in grad(&(&y * &weights).sum_all(), &variables).iter().enumerate() {
        graph.output(&format!("gradient{i}"), g);
    }
    let mut inputs: HashMap<String, Array> = [
        ("key".to_string(), Array::u32(&[2], vec![5, 6])),
        ("first".to_string(), Array::u32(&[2], vec![0, 0])),
        ("weights".to_string(), common::array(9, &y.shape())),
        (
            "labels".to_string(),
            Array::i32(&shape[..1], (0..shape[0]).map(|i| (i * 2 % CLASSES) as i32).collect::<Vec<_>>()),
        ),
    ]
    .into();
    for (i, seed) in [3, 4].into_iter().enumerate() {
        inputs.insert(format!("x{i}"), common::array(seed, shape));
    }
    for spec in scope.params().iter() {
        inputs.insert(spec.name.clone(), Array::from_f32(&spec.ty.shape, &spec.initialize([1, 2])));
    }
    let outcome = common::run(&graph, &inputs);
    let mut found: Vec<(&String, &Array)> = outcome.outputs.iter().chain(&outcome.updates).collect();
    found.sort_by_key(|(name, _)| name.as_str());
    found.into_iter().map(|(_, array)| array.floats().to_vec()).collect()
}

#[test]
fn segments_give_what_passes_one_by_one_give() {
    for word in LAYERS {
        let network = Network::parse(&[word.example()]).unwrap();
        let shape = [&[3], word.example_input()].concat();
        let [apart, together] = [false, true].map(|t| outcome(&network, &shape, t));
        let same = apart.len() == together.len()
            && apart.iter().zip(&together).all(|(a, b)| {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-9 * a.abs().max(1.0))
            });
        assert_eq!(network.takes_segments(), same, "{}", word.example());
    }
    let lines =
        ["conv 4 3 pad=1", "batch_norm relu", "max_pool 2", "flatten", "dense 5", "batch_norm", "dense 1"];
    let network = Network::parse(&lines).unwrap();
    let [apart, together] = [false, true].map(|t| outcome(&network, &[4, 6, 6, 2], t));
    assert_eq!(apart.len(), together.len());
    for (a, b) in apart.iter().zip(&together) {
        common::close(b, a, 1e-9);
    }
    assert!(!Network::parse(&["dense 3", "dropout 0.1"]).unwrap().takes_segments());
}
