//! The passes of a step draw dropout masks of their own.

use ganymede::Objective;
use ganymede::Recipe;
use ganymede_graph::{Function, Op};

const LAYERS: &str = "layers = [\"dense 8 relu\", \"dropout 0.5\", \"dense";

fn recipe() -> Recipe {
    let text = format!(
        "name = \"drop\"\nabout = \"\"\ndata = {{ shape = [2], default = \"synthetic:ring8\" }}\nlatent = {{ dim = 2 }}\n\
         train = {{ batch = 4, images = 100 }}\nloss = {{ name = \"relativistic-pairing\" }}\n\
         [generator]\n{LAYERS} 2\"]\noptimizer = {{ lr = 1e-3 }}\n\
         [discriminator]\n{LAYERS} 1\"]\noptimizer = {{ lr = 1e-3 }}\n"
    );
    Recipe::parse("drop", &text, &[]).unwrap()
}

/// The streams of random numbers in a phase.
fn streams(function: &Function) -> Vec<u32> {
    let of = |op: &Op| if let Op::PhiloxBits { stream, .. } = op { Some(*stream) } else { None };
    function.nodes.iter().filter_map(|node| of(&node.op)).collect()
}

#[test]
fn no_two_passes_of_a_step_share_a_stream() {
    let objective = Objective::new(recipe()).unwrap();
    let critic = streams(&objective.discriminator_phase(&[]).unwrap());
    let generator = streams(&objective.generator_phase(&[]).unwrap());
    // A latent; one mask of the generator; the discriminator's of real and of generated samples.
    assert_eq!((critic.len(), generator.len()), (4, 4), "{critic:?} {generator:?}");
    let all: std::collections::HashSet<&u32> = critic.iter().chain(&generator).collect();
    assert_eq!(all.len(), 8, "{critic:?} {generator:?}");
}
