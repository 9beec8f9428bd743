//! Every size that models take, what they say of themselves, and what they refuse.

use crate::case::{Case, D, G, MODELS};
use ganymede::models::{self, Options};
use ganymede_graph::Graph;
use ganymede_nn::Mode;

#[test]
fn models_make_and_judge_every_size_that_can_be_halved() {
    let samples: [&[usize]; 9] = [
        &[8, 8, 1],
        &[16, 16, 2],
        &[28, 28, 1],
        &[32, 32, 4],
        &[24, 40, 3],
        &[64, 48, 3],
        &[96, 128, 3],
        &[128, 128, 3],
        &[256, 256, 3],
    ];
    for model in MODELS {
        for sample in samples {
            for classes in [None, Some(3)] {
                // 840 divides into two to eight parts.
                let case = Case { latent: 840, classes, ..Case::new(model, G, sample).with("channels = 8") };
                let graph = Graph::new();
                let (_, made) = case.build(&graph, Mode::train());
                graph.finish().unwrap_or_else(|e| panic!("{case:?}: {e}"));
                assert_eq!(made.shape()[1..], *sample, "{case:?}");
                let graph = Graph::new();
                let (scope, judged) = Case { side: D, ..case }.build(&graph, Mode::train());
                graph.finish().unwrap_or_else(|e| panic!("{case:?}: {e}"));
                assert_eq!(judged.shape(), [3, 1], "{case:?}");
                assert!(scope.features().is_some() && !scope.layers().is_empty(), "{case:?}");
            }
        }
    }
}

#[test]
fn models_say_what_normalizes_over_the_batch() {
    for model in MODELS {
        let found = models::find(model).unwrap();
        let options = Case::new(model, D, &[8, 8, 1]).options();
        assert!(found.normalizes_batch(G, &options), "{model}");
        assert_eq!(found.normalizes_batch(D, &options), model == "dcgan");
        assert!(!found.compares_samples(&options));
    }
    let bare = Case::new("dcgan", D, &[8, 8, 1]).with("batch_norm = 0");
    assert!(!models::find("dcgan").unwrap().normalizes_batch(D, &bare.options()));
}

#[test]
fn sizes_and_options_that_do_not_fit_are_named() {
    for (case, parts) in [
        (Case::new("dcgan", G, &[7, 7, 1]), ["7x7 images", "multiples of 2, 8 and above"]),
        (Case::new("dcgan", D, &[7, 8, 1]), ["7x8 images", "multiples of 2, 8 and above"]),
        (Case::new("dcgan", G, &[64]), ["[height, width, channels]", "[64]"]),
        (Case::new("resnet", D, &[64]), ["[height, width, channels]", "[64]"]),
        (Case::new("resnet", G, &[7, 7, 1]), ["7x7 images", "multiples of 2, 8 and above"]),
        (
            Case::new("resnet", G, &[28, 28, 1]).with("multipliers = [2, 2, 1, 1]"),
            ["`multipliers` lists 4 stages", "multiples of 8, got 28x28"],
        ),
        (
            Case::new("resnet", D, &[28, 28, 1]).with("halvings = [3]"),
            ["3 blocks halve", "multiples of 8, got 28x28: set `halvings`"],
        ),
        (Case::new("resnet", D, &[32, 32, 1]).with("halvings = [6]"), ["`halvings` is 6", "4 blocks"]),
        (
            Case::new("sagan", G, &[32, 32, 1]).with("attention = [10]"),
            ["`attention` names 10 pixels", "[8, 16, 32]"],
        ),
        (Case::new("sagan", D, &[28, 28, 1]).with("attention = [7]"), ["even height and width", "7x7"]),
        (Case::new("biggan", G, &[32, 32, 1]).with("channels = 1"), ["attention", "a multiple of it, got 4"]),
        (
            Case { latent: 10, ..Case::new("biggan", G, &[32, 32, 1]) },
            ["`hierarchical`", "latent.dim must be a multiple of 4, got f32[3, 10]"],
        ),
    ] {
        let error = case.refusal();
        assert!(parts.iter().all(|part| error.contains(part)), "{case:?}: {error}");
    }
    for (model, options, part) in [
        ("dcgan", "channels = 0", "at least 1"),
        ("dcgan", "batch_norm = 2", "`batch_norm` is 0 (off) or 1 (on), got [2]"),
        ("dcgan", "max_channels = [1, 2]", "`max_channels` is one number, got 2"),
        ("resnet", "multipliers = [4]", "2 to 11 stages, got 1"),
        ("resnet", "multipliers = [4, 0]", "at least 1"),
        ("resnet", "halvings = [1, 2]", "`halvings` is one number"),
        ("resnet", "layer_norm = []", "`layer_norm` is 0 (off) or 1 (on), got []"),
        ("sagan", "wide = 3", "`wide` is 0 (off) or 1 (on), got [3]"),
        ("biggan", "shared = 0", "`shared` must be at least 1"),
        ("biggan", "hierarchical = [0, 1]", "`hierarchical` is 0 (off) or 1 (on)"),
    ] {
        let table = options.parse().unwrap();
        let error = Options::resolve(models::find(model).unwrap(), &table).unwrap_err();
        assert!(error.contains(part), "{model}, {options}: {error}");
    }
}
