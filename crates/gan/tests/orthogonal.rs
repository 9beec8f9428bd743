//! Orthogonal regularization of whole networks: which parameters it takes, and through which product.

mod common;

use common::*;
use ganymede::Objective;
use ganymede::networks::Side;
use ganymede_cpu::Session;

/// Every kind of parameter that a class can have: rows of gains and biases, of an embedding, of a projection.
const CONDITIONAL: &str = r#"
name = "conditional"
data = { shape = [2], default = "synthetic:ring8", classes = 8 }
latent = { dim = 3 }
train = { batch = 4, images = 400 }
loss = { name = "hinge" }

[generator]
layers = ["concat_label 6", "dense 40", "conditional_batch_norm relu", "dense 2"]
optimizer = { lr = 1e-2 }

[discriminator]
layers = ["dense 6 relu", "projection"]
optimizer = { lr = 1e-2 }
"#;

/// The squared products of different columns of the weights named, from the state.
fn expected(session: &Session, weights: &[(&str, usize)]) -> f64 {
    let of = |(name, filters): &(&str, usize)| {
        let w: Vec<f64> = session.store().f32s(name).unwrap().iter().map(|&x| f64::from(x)).collect();
        let rows = w.len() / filters;
        let product =
            |i: usize, j: usize| (0..rows).map(|r| w[r * filters + i] * w[r * filters + j]).sum::<f64>();
        let pairs = (0..*filters).flat_map(|i| (0..*filters).map(move |j| (i, j))).filter(|(i, j)| i != j);
        pairs.map(|(i, j)| product(i, j).powi(2)).sum::<f64>()
    };
    weights.iter().map(of).sum()
}

fn penalty(objective: &Objective, side: Side) -> (f64, Session) {
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    let (function, output) = match side {
        Side::Generator => (objective.generator_phase(&[true]).unwrap(), "g_penalty"),
        Side::Discriminator => (objective.discriminator_phase(&[true]).unwrap(), "d_penalty"),
    };
    let phase = session.add_phase("phase", &function).unwrap();
    feed(&mut session, phase, 0.0);
    assert!(session.run(phase).unwrap().committed);
    (f64::from(session.output(phase, output).unwrap()[0]), session)
}

#[test]
fn tables_of_classes_are_no_weights() {
    let with = |network: &str| {
        let table =
            format!("[[regularizers]]\nname = \"orthogonal\"\nstrength = 1.0\nnetwork = \"{network}\"");
        objective(&format!("{CONDITIONAL}\n{table}"), &[])
    };
    for (side, weights) in [
        (Side::Generator, &[("G/dense1/weight", 40), ("G/dense2/weight", 2)][..]),
        // The projection's own vector is a single filter.
        (Side::Discriminator, &[("D/dense1/weight", 6)][..]),
    ] {
        let objective = with(side.name());
        // What the networks have beside them.
        let tables = objective.params(side).trainable().filter(|p| p.ty.shape.first() == Some(&8)).count();
        assert!(tables > 0, "{}", side.name());
        let (got, session) = penalty(&objective, side);
        let expected = expected(&session, weights);
        assert!((got - expected).abs() < 1e-4 * expected, "{}: {got} against {expected}", side.name());
    }
}

#[test]
fn the_smaller_product_is_taken() {
    let text = with(LINEAR, "orthogonal", 1.0, 1);
    let wide = objective(&text, &["generator.layers=[\"dense 90\",\"dense 2\"]", "latent.dim=7"]);
    let function = wide.generator_phase(&[true]).unwrap();
    let has = |shape: [usize; 2]| function.nodes.iter().any(|node| node.ty.shape == shape);
    // Of [7, 90] the product of the rows; of [90, 2] that of the columns.
    assert!(has([7, 7]) && has([2, 2]) && !has([90, 90]));
    let (got, session) = penalty(&wide, Side::Generator);
    let expected = expected(&session, &[("G/dense1/weight", 90), ("G/dense2/weight", 2)]);
    assert!((got - expected).abs() < 1e-4 * expected, "{got} against {expected}");
}
