//! Whole losses under spectral norm and with deviations over the batch: values against PyTorch, wrong twins, and
//! derivatives to order two.

use crate::compare::*;
use crate::networks::*;
use ganymede_graph::{Array, Tensor, grad};
use ganymede_nn::layers::{MinibatchStddev, minibatch_stddev};
use ganymede_nn::{FanRule, Init, Mode, Scope, WeightRule};

/// The discriminator's non-saturating loss with R1.
fn whole(networks: &Networks, judge: &dyn Fn(&Tensor) -> Tensor) -> Tensor {
    let [real, fake] = ["real", "fake"].map(|name| networks.feed(name));
    let [r, f] = [judge(&real), judge(&fake)];
    let slopes = &grad(&r.sum_all(), &[&real])[0];
    let penalty = slopes.square().sum(&[1, 2, 3]).mean_all() * (0.5 * STRENGTH);
    (-r).softplus().mean_all() + f.softplus().mean_all() + penalty
}

/// Names of the two weights in a network, and of their vectors.
const WEIGHTS: [(&str, &str); 2] = [("D/conv/weight", "w1"), ("D/dense/weight", "w2")];

/// A loss under spectral norm with one power iteration, and what it is differentiated by.
fn under_spectral_norm(networks: &mut Networks) -> (Tensor, [Tensor; 3]) {
    for ((slot, input), u) in WEIGHTS.iter().zip(["u1", "u2"]) {
        networks.inputs.insert(slot.to_string(), networks.inputs[*input].clone());
        networks.inputs.insert(format!("{slot}_u"), networks.inputs[u].clone());
    }
    let scope =
        Scope::root(&networks.graph, "D", Mode::train()).with_rule(WeightRule::Spectral { iterations: 1 });
    let used = ["conv", "dense"].map(|layer| {
        let shape = &networks.inputs[&format!("D/{layer}/weight")].ty.shape;
        scope.child(layer).weight("weight", shape, Init::Zeros, FanRule::Forward)
    });
    let loss = with_weights(networks, &used);
    let parameter = |name: &str| scope.trainable().into_iter().find(|p| p.0 == name).unwrap().1;
    (loss, [parameter(WEIGHTS[0].0), networks.feed("b1"), parameter(WEIGHTS[1].0)])
}

fn with_weights(networks: &Networks, [w1, w2]: &[Tensor; 2]) -> Tensor {
    whole(networks, &|x| Networks::logits(&networks.features(x, w1), w2))
}

/// The weight as a matrix of everything else by filters.
fn matrix(weight: &Tensor) -> Tensor {
    let filters = *weight.shape().last().unwrap();
    weight.reshape(&[weight.shape().iter().product::<usize>() / filters, filters])
}

/// v and u after one power iteration, worked out beside the library.
fn iterated(weight: &Array, u: &[f64]) -> [Vec<f64>; 2] {
    let unit = |x: Vec<f64>| {
        let norm = x.iter().map(|v| v * v).sum::<f64>().sqrt();
        x.iter().map(|v| v / norm).collect::<Vec<f64>>()
    };
    let rows: Vec<&[f64]> = weight.floats().chunks(u.len()).collect();
    let v = unit(rows.iter().map(|row| row.iter().zip(u).map(|(m, u)| m * u).sum()).collect());
    let u = (0..u.len()).map(|j| rows.iter().zip(&v).map(|(row, v)| row[j] * v).sum()).collect();
    [v, unit(u)]
}

/// The loss with weights over v^T W u of given vectors, through which alone it depends on the singular vectors: what may be
/// compared with differences, in which they would otherwise move.
fn with_given_vectors(networks: &mut Networks, sigma_of: fn(&Tensor) -> Tensor) -> Tensor {
    for (input, first) in [("w1", "u1"), ("w2", "u2")] {
        let [v, u] = iterated(&networks.inputs[input], networks.inputs[first].floats());
        networks.inputs.insert(format!("{input}/v"), Array::f32(&[v.len()], v));
        networks.inputs.insert(format!("{input}/u"), Array::f32(&[u.len()], u));
    }
    let used = ["w1", "w2"].map(|name| {
        let weight = networks.feed(name);
        let vector = |which: &str| networks.feed(&format!("{name}/{which}"));
        let product = matrix(&weight).matmul(&vector("u").reshape(&[vector("u").shape()[0], 1]));
        let sigma = (product.reshape(&vector("v").shape()) * vector("v")).sum_all();
        let sigma = sigma_of(&sigma);
        weight / sigma
    });
    with_weights(networks, &used)
}

#[test]
fn spectral_norm_in_a_whole_loss_is_that_of_pytorch_and_right_to_order_two() {
    let goldens = Goldens::parse(GOLDENS);
    let golden = goldens.with_gradients("whole", "spectral-norm", &D);
    let mut networks = Networks::new(&goldens);
    let (loss, parameters) = under_spectral_norm(&mut networks);
    let got = with_gradients(&networks.graph, &loss, &parameters, &networks.inputs);
    assert_same(&got, &golden, "a loss under spectral norm");

    let given = |sigma_of: fn(&Tensor) -> Tensor| {
        let mut networks = Networks::new(&goldens);
        let loss = with_given_vectors(&mut networks, sigma_of);
        let parameters = networks.feeds(&D);
        (with_gradients(&networks.graph, &loss, &parameters, &networks.inputs), networks, loss)
    };
    type Twin = (&'static str, fn(&Tensor) -> Tensor);
    let twins: [Twin; 3] = [
        ("the singular value a constant", |sigma| sigma.stop_gradient()),
        ("not divided", |sigma| sigma.ones_like()),
        ("over its square", |sigma| sigma.square()),
    ];
    for (what, sigma_of) in twins {
        assert_told_apart(&given(sigma_of).0, &golden, &format!("spectral norm, wrong: {what},"));
    }
    let mut networks = Networks::new(&goldens);
    let used = ["w1", "w2"].map(|name| {
        let weight = networks.feed(name);
        let norm = weight.square().sum_all().sqrt();
        weight / norm
    });
    let loss = with_weights(&networks, &used);
    let of_norms = with_gradients(&networks.graph, &loss, &networks.feeds(&D), &networks.inputs);
    assert_told_apart(&of_norms, &golden, "spectral norm, wrong: over the Frobenius norm,");

    // To order two it is what it is with given vectors, and that is what differences say.
    networks = Networks::new(&goldens);
    let (loss, parameters) = under_spectral_norm(&mut networks);
    let own = to_order_two(&networks, &loss, &parameters);
    let (_, networks, loss) = given(|sigma| sigma.clone());
    assert_differentiable_twice(&networks, &loss, &D, 1e-5, "spectral norm with given vectors");
    let mut networks = Networks::new(&goldens);
    let loss = with_given_vectors(&mut networks, |sigma| sigma.clone());
    assert_same(&own, &to_order_two(&networks, &loss, &networks.feeds(&D)), "spectral norm to order two");
    let mut networks = Networks::new(&goldens);
    let loss = with_given_vectors(&mut networks, |sigma| sigma.stop_gradient());
    let constant = to_order_two(&networks, &loss, &networks.feeds(&D));
    assert_told_apart(&constant, &own, "spectral norm to order two, wrong: the singular value a constant,");
}

/// The parameters of a discriminator with one channel more.
const WIDE: [&str; 3] = ["w1", "b1", "w2_wide"];

fn with_channel(networks: &Networks, channel: &dyn Fn(&Tensor) -> Tensor) -> Tensor {
    whole(networks, &|x| {
        let features = networks.hidden(x);
        let more = Tensor::concat(&[&features, &channel(&features)], 3);
        Networks::logits(&more, &networks.feed("w2_wide"))
    })
}

/// The deviations of groups of `size`, whose members are `stride` samples apart, by `root` of their variances.
fn deviations(x: &Tensor, size: usize, neighbours: bool, root: fn(&Tensor) -> Tensor) -> Tensor {
    let groups = 4 / size;
    let (shape, axis) = if neighbours { ([groups, size, 60], 1) } else { ([size, groups, 60], 0) };
    let mean = root(&x.reshape(&shape).variance(&[axis])).mean(&[1]);
    let mut one_each = [groups, groups];
    one_each[axis] = 1;
    let all = [shape[0], shape[1]];
    mean.reshape(&one_each).broadcast_to(&all).reshape(&[4, 1, 1, 1]).broadcast_to(&[4, 4, 5, 1])
}

fn root(variance: &Tensor) -> Tensor {
    (variance + 1e-8).sqrt()
}

#[test]
fn deviations_in_a_whole_loss_are_those_of_pytorch_and_right_to_order_two() {
    let goldens = Goldens::parse(GOLDENS);
    let golden = goldens.with_gradients("whole", "minibatch-stddev", &WIDE);
    let evaluate = |channel: &dyn Fn(&Tensor) -> Tensor| {
        let networks = Networks::new(&goldens);
        let loss = with_channel(&networks, channel);
        with_gradients(&networks.graph, &loss, &networks.feeds(&WIDE), &networks.inputs)
    };
    let layer = |x: &Tensor| {
        let scope = Scope::root(x.graph(), "D", Mode::train());
        minibatch_stddev(&scope, x, MinibatchStddev { group: 2, channels: 1 }).slice(3, 3, 4)
    };
    assert_same(&evaluate(&layer), &golden, "a loss with deviations over the batch");
    // The way the twins are written can also say it right.
    assert_same(&evaluate(&|x| deviations(x, 2, false, root)), &golden, "deviations");
    type Twin = (&'static str, fn(&Tensor) -> Tensor);
    let twins: [Twin; 6] = [
        ("groups of neighbours", |x| deviations(x, 2, true, root)),
        ("of the whole batch", |x| deviations(x, 4, false, root)),
        ("variances", |x| deviations(x, 2, false, |v| v.clone())),
        ("unbiased", |x| deviations(x, 2, false, |v| root(&(v * 2.0)))),
        ("the root of mean variances", |x| {
            let mean = deviations(x, 2, false, |v| v.clone());
            root(&mean)
        }),
        ("without gradients", |x| deviations(x, 2, false, root).stop_gradient()),
    ];
    for (what, twin) in twins {
        assert_told_apart(&evaluate(&twin), &golden, &format!("minibatch_stddev, wrong: {what},"));
    }
    let networks = Networks::new(&goldens);
    let loss = with_channel(&networks, &layer);
    // Roots of differences of two samples bend most where these are as alike as the 1e-8 below the root lets show, within 1e-4:
    // steps are small beside that.
    assert_differentiable_twice(&networks, &loss, &WIDE, 1e-7, "minibatch_stddev");
}
