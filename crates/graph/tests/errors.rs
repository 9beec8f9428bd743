//! What a graph says when it cannot be built.

use ganymede_graph::{ConvOptions, DType, Graph, GraphError, Tensor, TensorType, grad};

fn feed(g: &Graph, name: &str, shape: &[usize]) -> Tensor {
    g.feed(name, TensorType::f32(shape))
}

/// The error of a graph that cannot be built.
fn error(build: impl FnOnce(&Graph)) -> GraphError {
    let graph = Graph::new();
    build(&graph);
    let error = graph.finish().expect_err("the graph should not build");
    assert!(error.caller.is_some_and(|c| c.file().ends_with("errors.rs")), "{error:?}");
    error
}

fn text(build: impl FnOnce(&Graph)) -> String {
    error(build).to_string()
}

#[test]
fn convolution_channels() {
    let error = error(|g| {
        let _d = g.scope("D");
        let _block = g.scope("block2");
        let (x, w) = (feed(g, "x", &[8, 16, 16, 64]), feed(g, "w", &[3, 3, 128, 32]));
        let _conv = g.scope("conv1");
        x.conv2d(&w, ConvOptions::default().pad(1));
    });
    assert_eq!(
        error.to_string(),
        "conv2d at D/block2/conv1: weight expects 128 input channels, input has 64"
    );
    assert_eq!((error.op.as_str(), error.path.as_str()), ("conv2d", "D/block2/conv1"));
}

#[test]
fn convolution_geometry() {
    let conv = |options: ConvOptions, w: &'static [usize]| {
        text(move |g| {
            feed(g, "x", &[1, 4, 4, 6]).conv2d(&feed(g, "w", w), options);
        })
    };
    let o = ConvOptions::default();
    assert_eq!(
        conv(o, &[5, 5, 6, 2]),
        "conv2d: a kernel reaching over 5 pixels does not fit into 4 (padding included)"
    );
    assert_eq!(conv(o.groups(4), &[1, 1, 2, 4]), "conv2d: weight expects 8 input channels, input has 6");
    assert_eq!(
        conv(o.groups(3), &[1, 1, 2, 4]),
        "conv2d: 6 input and 4 output channels do not divide into 3 groups"
    );
    assert_eq!(
        conv(o.stride(0), &[1, 1, 6, 4]),
        "conv2d: stride, dilation, kernel size and groups must be at least 1"
    );
    assert_eq!(
        conv(o, &[6, 4]),
        "conv2d: needs images [N, H, W, C] and weights [KH, KW, C, C_out], got [1, 4, 4, 6] and [6, 4]"
    );
    assert_eq!(
        text(|g| {
            feed(g, "x", &[1, 5, 5, 6]).conv2d_transposed(
                &feed(g, "w", &[4, 4, 3, 6]),
                o.stride(2).pad(1),
                [8, 8],
            );
        }),
        "conv2d_input_grad: the cotangent must be 4x4 pixels, got f32[1, 5, 5, 6]"
    );
}

#[test]
fn matrix_products() {
    let product = |a: &'static [usize], b: &'static [usize]| {
        text(move |g| {
            feed(g, "a", a).matmul(&feed(g, "b", b));
        })
    };
    assert_eq!(product(&[2, 3], &[4, 5]), "matmul: the first operand has 3 columns, the second 4 rows");
    assert_eq!(
        product(&[2, 3], &[3]),
        "matmul: operands need two matrix axes and the same leading axes, got f32[2, 3] and f32[3]"
    );
    assert_eq!(
        product(&[7, 2, 3], &[6, 3, 2]),
        "matmul: operands need two matrix axes and the same leading axes, got f32[7, 2, 3] and f32[6, 3, 2]"
    );
}

#[test]
fn shapes() {
    let on = |f: fn(&Tensor) -> Tensor| {
        text(move |g| {
            f(&feed(g, "x", &[2, 3]));
        })
    };
    assert_eq!(on(|x| x.reshape(&[7])), "reshape: f32[2, 3] has 6 elements, shape [7] does not");
    assert_eq!(on(|x| x.broadcast_to(&[3])), "broadcast: f32[2, 3] has more axes than [3]");
    assert_eq!(
        on(|x| x.broadcast_to(&[4, 5, 3])),
        "broadcast: f32[2, 3] does not broadcast to [4, 5, 3] along axes [1, 2]"
    );
    assert_eq!(
        on(|x| x + &feed(x.graph(), "y", &[4])),
        "add: shapes [2, 3] and [4] do not broadcast to each other"
    );
    assert_eq!(on(|x| x.transpose(&[0, 0])), "transpose: [0, 0] is not a permutation of 2 axes");
    assert_eq!(on(|x| x.transpose(&[0])), "transpose: the permutation lists 1 axes, the operand has 2");
    assert_eq!(on(|x| x.slice(1, 2, 5)), "slice: axis 1 of f32[2, 3] has no slice 2..5 step 1");
    assert_eq!(on(|x| x.slice(2, 0, 1)), "slice: axis 2 is outside f32[2, 3]");
    assert_eq!(
        on(|x| x.slice_strided(&[0, 0], &[2, 3], &[1, 0])),
        "slice: axis 1 of f32[2, 3] has no slice 0..3 step 0"
    );
    assert_eq!(on(|x| x.pad(&[1], &[1], &[0])), "pad: low lists 1 axes, the operand has 2");
    assert_eq!(on(|x| x.reverse(&[1, 0])), "reverse: axes [1, 0] must increase and lie inside f32[2, 3]");
    assert_eq!(on(|x| x.sum(&[2])), "reduce_sum: axes [2] must increase and lie inside f32[2, 3]");
    assert_eq!(on(|x| x.mean(&[9])), "reduce_sum: axes [9] must increase and lie inside f32[2, 3]");
    assert_eq!(on(|x| x.variance(&[0, 0])), "variance: axes [0, 0] must increase and lie inside f32[2, 3]");
    assert_eq!(
        on(|x| Tensor::concat(&[x, &feed(x.graph(), "y", &[3, 3])], 1)),
        "concat: f32[3, 3] cannot follow f32[2, 3] along axis 1"
    );
    assert_eq!(on(|x| Tensor::concat(&[x, x], 2)), "concat: axis 2 is outside f32[2, 3]");
    assert_eq!(on(|x| x.max_pool2d(2, 2, 0)), "max_pool2d: needs images [N, H, W, C], got f32[2, 3]");
    assert_eq!(on(|x| x.slice(0, 1, 1).argmax(0)), "argmax: f32[0, 3] has no elements along axis 0");
    assert_eq!(
        on(|x| x.reshape(&[1, 2, 3, 1]).max_pool2d(4, 1, 0)),
        "window_argmax: a window of 4 does not fit into 2 (padding included)"
    );
    assert_eq!(
        on(|x| x.reshape(&[1, 2, 3, 1]).max_pool2d(2, 1, 2)),
        "window_argmax: padding must be smaller than the window of 2"
    );
}

#[test]
fn element_types() {
    let on = |f: fn(&Tensor) -> Tensor| {
        text(move |g| {
            f(&feed(g, "x", &[2, 3]));
        })
    };
    assert_eq!(on(|x| x.convert(DType::I32).tanh()), "tanh: is not defined on i32");
    assert_eq!(on(|x| x.and(x)), "and: is not defined on f32");
    assert_eq!(
        on(|x| x + &x.convert(DType::I32)),
        "add: both operands of `add` must have one type, got f32[2, 3] and i32[2, 3]"
    );
    assert_eq!(on(|x| x.select(x, x)), "select: the condition must be bool[2, 3], got f32[2, 3]");
    assert_eq!(on(|x| x.gt(x).sum(&[0])), "reduce_sum: is not defined on bool: convert first");
    assert_eq!(
        on(|x| x.gather(x, 0)),
        "gather: the index must be i32 with shape [] and one axis more, got f32[2, 3]"
    );
    assert_eq!(
        on(|x| x.scatter_add(&x.graph().iota(&[5], 0), 0, 4)),
        "scatter_add: f32[2, 3] has 2 rows, the index 5"
    );
    assert_eq!(
        on(|x| x.graph().random_bits(x, x, 0, &[4])),
        "philox_bits: key and first index must be u32[2], got f32[2, 3] and f32[2, 3]"
    );
}

#[test]
fn gradients() {
    assert_eq!(
        text(|g| {
            let x = feed(g, "x", &[2, 3]);
            grad(&x, &[&x]);
        }),
        "grad: the loss must be a float scalar, got f32[2, 3]; sum or average it"
    );
    assert_eq!(
        text(|g| {
            let x = feed(g, "x", &[2]);
            let elsewhere = feed(&Graph::new(), "x", &[2]);
            grad(&x.sum_all(), &[&elsewhere]);
        }),
        "grad: a value, cotangent or variable belongs to another graph"
    );
    assert_eq!(
        text(|g| {
            let x = feed(g, "x", &[2]);
            ganymede_graph::grad_with(&[(&x, &x.sum_all())], &[&x]);
        }),
        "grad: a value of f32[2] needs a cotangent of its type, got f32[]"
    );
}

#[test]
fn inputs_and_updates() {
    let slot = |g: &Graph| g.state("D/conv1/weight", TensorType::f32([2, 3]));
    assert_eq!(
        text(|g| {
            let w = slot(g);
            g.update("D/conv1/weight", &(&w + 1.0));
            g.update("D/conv1/weight", &w);
        }),
        "update: `D/conv1/weight` is updated twice; chain the updates into one value"
    );
    assert_eq!(
        text(|g| g.update("D/conv2/weight", &slot(g))),
        "update: no state slot is named `D/conv2/weight`"
    );
    assert_eq!(
        text(|g| {
            let x = feed(g, "x", &[2]);
            g.update("x", &x);
        }),
        "update: `x` is a feed: only state can be updated"
    );
    assert_eq!(
        text(|g| {
            let w = slot(g);
            g.update("D/conv1/weight", &w.sum_all());
        }),
        "update: slot `D/conv1/weight` is f32[2, 3], the new value is f32[]"
    );
    assert_eq!(
        text(|g| {
            slot(g);
            g.feed("D/conv1/weight", TensorType::f32([2, 3]));
        }),
        "input: `D/conv1/weight` is already declared as f32[2, 3] (State), now as f32[2, 3] (Feed)"
    );
    assert_eq!(
        text(|g| {
            let x = feed(g, "x", &[2]);
            g.output("y", &x);
            g.output("y", &(&x + 1.0));
        }),
        "output: `y` is already an output"
    );
    assert_eq!(
        text(|g| g.commit_when(&feed(g, "x", &[]))),
        "commit_when: the gate must be bool[], got f32[]"
    );
    assert_eq!(
        text(|g| g.commit_when(&g.feed("ok", TensorType::new(DType::Bool, [4])))),
        "commit_when: the gate must be bool[], got bool[4]"
    );
}

#[test]
fn the_first_error_is_kept_and_everything_after_it_is_poisoned() {
    let error = error(|g| {
        let _g = g.scope("G");
        let x = feed(g, "x", &[2, 3]);
        let bad = x.reshape(&[5]);
        assert!(bad.is_poisoned());
        // Nothing that follows panics or replaces the error.
        let w = feed(g, "w", &[3, 3, 1, 1]);
        let later = [
            &bad + 1.0,
            bad.tanh().sum_all(),
            bad.conv2d(&w, ConvOptions::default()),
            w.conv2d(&bad, ConvOptions::default()),
            w.conv2d_transposed(&bad, ConvOptions::default(), [3, 3]),
            bad.matmul(&x),
            x.matmul(&bad),
            bad.max_pool2d(2, 2, 0),
            bad.avg_pool2d(2, 2, 0),
            bad.upsample_nearest(2),
            bad.upsample_bilinear2(),
            bad.softmax(),
            bad.mean(&[0, 4]),
            bad.variance(&[3]),
            bad.slice(3, 0, 9),
            bad.broadcast_to(&[9]),
            bad.transpose(&[4]),
            bad.leaky_relu(0.2).elu().gelu(),
            bad.convert(DType::I32).argsort(),
            Tensor::concat(&[&x, &bad], 7),
            x.gt(&bad).select(&x, &bad),
            bad.zeros_like(),
            bad.all_finite(),
            x.gather(&bad, 0),
            g.random_bits(&bad, &x, 0, &[3]),
            grad(&bad, &[&x])[0].clone(),
            grad(&x.sum_all(), &[&bad])[0].clone(),
        ];
        for (i, t) in later.iter().enumerate() {
            assert!(t.is_poisoned(), "result {i}");
        }
        g.update("w", &bad);
        g.output("y", &bad);
        g.commit_when(&bad);
        let _d = g.scope("D");
        x.reshape(&[7]);
    });
    assert_eq!(error.to_string(), "reshape at G: f32[2, 3] has 6 elements, shape [5] does not");
}

#[test]
fn the_caller_is_the_line_that_asked() {
    let graph = Graph::new();
    let (a, b) = (feed(&graph, "a", &[2]), feed(&graph, "b", &[3]));
    let line = line!() + 1;
    let _ = &a * &b;
    assert_eq!(graph.finish().unwrap_err().caller.unwrap().line(), line);
}

#[test]
fn operands_of_two_graphs() {
    let (one, two) = (Graph::new(), Graph::new());
    let (a, b) = (feed(&one, "a", &[2]), feed(&two, "b", &[2]));
    assert!((&a + &b).is_poisoned());
    assert_eq!(one.finish().unwrap_err().to_string(), "add: an operand belongs to another graph");
    assert!(two.finish().is_ok());
}

#[test]
fn errors_in_derivatives_stand_at_the_path_of_their_primal() {
    let graph = Graph::new();
    let x = feed(&graph, "x", &[2]);
    let y = {
        let _d = graph.scope("D");
        let _conv = graph.scope("conv1");
        x.tanh()
    };
    let g = &grad(&y.sum_all(), &[&x])[0];
    assert_eq!(&*graph.node(g.id().unwrap()).path, "D/conv1");
    // The scope of the caller is back afterwards.
    assert_eq!(&*graph.path(), "");
}
