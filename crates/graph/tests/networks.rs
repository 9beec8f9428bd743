//! Networks, whole losses, goldens and random graphs.

use ganymede_graph::cases::{goldens, gradcheck, networks, random};
use ganymede_graph::{Array, Function, Precision, interpret, passes};
use std::collections::HashMap;

fn runner(
    precision: Precision,
) -> impl Fn(&Function, &HashMap<String, Array>) -> Result<HashMap<String, Array>, String> {
    move |function, inputs| {
        let function = passes::optimize(function).map_err(|e| e.to_string())?;
        interpret(&function, inputs, precision).map(|o| o.outputs).map_err(|e| e.to_string())
    }
}

/// The losses with penalties hold first derivatives themselves, so this reaches the fourth order.
#[test]
fn networks_and_whole_losses_to_order_two() {
    for case in networks::cases() {
        gradcheck::check(&case, 3, 1e-7).unwrap();
    }
}

#[test]
fn goldens_in_f64() {
    for golden in goldens::all() {
        golden.check(1e-9, runner(Precision::F64)).unwrap();
    }
}

#[test]
fn goldens_in_f32() {
    for golden in goldens::all() {
        golden.check(1e-5, runner(Precision::F32)).unwrap();
    }
}

#[test]
fn goldens_hold_a_gradient_for_every_operand() {
    for golden in goldens::all() {
        assert_eq!(golden.expected.len(), golden.inputs.len() + 1, "{}", golden.name);
        for (name, expected) in &golden.expected {
            // The wgan_gp loss has no bias, so that every gradient is other than zero.
            assert!(expected.floats().iter().any(|&v| v != 0.0), "{}: `{name}` is zero", golden.name);
        }
    }
}

#[test]
fn random_graphs_keep_their_meaning_in_f32_and_under_passes() {
    for seed in 0..300 {
        let case = random::graph(seed, 24);
        case.programs()[0].check(runner(Precision::F64)).unwrap();
    }
}

#[test]
fn random_graphs_have_the_gradients_that_differences_show() {
    for seed in 0..60 {
        gradcheck::check(&random::graph(seed, 10), 1, 1e-5).unwrap();
    }
}
