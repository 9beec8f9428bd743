//! Recipes and options that make no sense: one clear message each with place and nearest choice; nothing is made.

mod common;

use common::*;
use std::path::Path;

/// Trains with extra arguments and expects a refusal.
#[track_caller]
fn refused(folder: &Path, code: i32, arguments: &[&str], words: &[&str]) {
    let before = hashes(folder);
    let mut all = vec!["train", "./set", "--steps", "2", "--out", "run"];
    all.extend(arguments);
    run(folder, &all).fails(code, words);
    assert!(!folder.join("run").exists(), "a refused run leaves no folder");
    assert_eq!(hashes(folder), before);
}

/// As [`refused`], with a recipe file in which `from` is replaced.
#[track_caller]
fn refused_file(from: &str, to: &str, words: &[&str]) {
    let folder = prepared();
    assert_eq!(TINY.matches(from).count(), 1, "`{from}` names one place of the recipe");
    std::fs::write(folder.path().join("changed.toml"), TINY.replace(from, to)).unwrap();
    refused(folder.path(), 1, &["--recipe", "changed.toml"], words);
}

/// Line of the tiny recipe that holds `text`, from 1.
fn line_of(text: &str) -> String {
    let at = TINY.find(text).expect("in the recipe");
    format!("line {}", 1 + TINY[..at].matches('\n').count())
}

#[test]
fn an_unknown_recipe_is_answered_with_the_nearest() {
    let folder = prepared();
    refused(
        folder.path(),
        1,
        &["--recipe", "dcgan82"],
        &["--recipe", "unknown recipe `dcgan82`", "did you mean `dcgan28`?", "r3-28", ".toml"],
    );
    refused(folder.path(), 1, &["--recipe", "absent.toml"], &["absent.toml", "cannot read the recipe"]);
    let none = ["`gamma`", "every `strength`", "has none", "regularizers="];
    refused(folder.path(), 1, &["--recipe", "dcgan28", "--set", "gamma=1"], &none);
    run(folder.path(), &["recipes", "mlp2"]).fails(1, &["unknown recipe `mlp2`", "did you mean `mlp2d`?"]);
}

#[test]
fn unknown_keys_name_file_line_and_nearest_key() {
    let line = line_of("batch = 8");
    refused_file(
        "batch = 8",
        "bacth = 8",
        &["changed.toml", &line, "unknown key `bacth`", "did you mean `batch`?"],
    );
    let line = line_of("every = 2");
    refused_file("every = 2", "evry = 2", &["changed.toml", &line, "did you mean `every`?"]);
    let folder = prepared();
    for (set, nearest) in [
        ("bacth=4", "`batch`"),
        ("gama=4", "`gamma`"),
        ("generator.optimiser.lr=1e-4", "`generator.optimizer.lr`"),
    ] {
        let words = [&format!("--set {set}"), "unknown key", &format!("did you mean {nearest}?")];
        let words: Vec<&str> = words.iter().map(|w| w.as_ref()).collect();
        refused(folder.path(), 1, &["--recipe", "tiny.toml", "--set", set], &words);
    }
    refused(
        folder.path(),
        1,
        &["--recipe", "tiny.toml", "--set", "batch"],
        &["--set batch", "expected KEY=VALUE", "train.batch=32"],
    );
}

#[test]
fn values_of_the_wrong_type_or_range_say_what_is_expected() {
    let line = line_of("batch = 8");
    let words = ["changed.toml", &line, "string \"eight\"", "expected a whole number"];
    refused_file("batch = 8", "batch = \"eight\"", &words);
    refused_file(
        "half_life = 100",
        "half_life = \"cosin 1 -> 0\"",
        &["changed.toml", "`cosin 1 -> 0`", "schedule"],
    );
    refused_file("images = 320", "images = 0", &["key `train.images`", "at least 1, got 0"]);
    refused_file("name = \"tiny\"", "name = \"../tiny\"", &["key `name`", "letters, digits"]);
    refused_file("[latent]", "[latent", &["changed.toml", &line_of("[latent]")]);
    let folder = prepared();
    for (set, words) in [
        ("batch=eight", ["--set batch=eight", "expected a whole number"]),
        ("batch=0", ["train.batch", "from 1 to 1048576, got 0"]),
        ("batch=9000000000000000000", ["train.batch", "got 9000000000000000000"]),
        ("latent.dim=16777217", ["latent.dim", "from 1 to 16777216"]),
        ("shape=[8192,8192,1]", ["train.batch", "use 4 or less"]),
        ("critic_steps=1000000000", ["train.critic_steps", "from 1 to 65536"]),
        ("every=9000000000000000000", ["regularizers.every", "from 1 to 65536"]),
        ("shape=[4294967296,4294967296,9]", ["data.shape", "values a sample"]),
        ("lr=-1", ["optimizer.lr", "must not be negative"]),
        ("lr=inf", ["--set lr=inf", "finite"]),
        ("lr=1e5", ["key `generator.optimizer.lr`", "at most 1e4 so that no step leaves"]),
        ("lr=cosine 1e-3 -> 2e4", ["optimizer.lr", "lower it; got cosine 1e-3 -> 2e4"]),
        ("eps=1e-20", ["optimizer.lr", "at most 1e-8 with an eps of 1e-20: lower it, or raise eps"]),
        ("clip_norm=1e39", ["optimizer.clip_norm", "0 (off) or from 1.2e-38 to 1e30"]),
        ("clip_norm=-1", ["optimizer.clip_norm", "got -1"]),
        (
            "weight_decay=1e7",
            ["generator.optimizer", "weight_decay` of adam must be at least 0 and below 1e6"],
        ),
        ("beta1=1", ["beta1", "[0, 1)"]),
        ("gamma=-2", ["regularizers.strength", "must not be negative"]),
        ("momentum=0.9", ["--set momentum=0.9", "optimizer `adam` has no momentum"]),
        ("nesterov=true", ["--set nesterov=true", "optimizer `adam` has no nesterov"]),
        ("clip_value=-1", ["optimizer.clip_value", "at least 0, got -1"]),
        ("ema.buffers=mean", ["--set ema.buffers=mean", "`average`"]),
        ("kind=adma", ["optimizer.kind", "did you mean `adam`?"]),
        ("loss.name=hing", ["loss.name", "did you mean `hinge`?"]),
        ("regularizers.0.name=r3", ["regularizers.name", "unknown regularizer `r3`"]),
        ("statistics=[\"real-pas\"]", ["--set", "real-pas"]),
    ] {
        refused(folder.path(), 1, &["--recipe", "tiny.toml", "--set", set], &words);
    }
}

#[test]
fn layer_lists_are_answered_with_the_line() {
    refused_file(
        "\"dense 64 tanh\"",
        "\"dens 64 tanh\"",
        &["key `generator`", "layer 4 (`dens 64 tanh`)", "no layer `dens`", "did you mean `dense`?"],
    );
    refused_file("\"dense 64 tanh\"", "\"dense tanh\"", &["layer 4 (`dense tanh`)", "usage: `dense UNITS"]);
    refused_file("\"dropout 0.1\"", "\"dropout 1.5\"", &["key `discriminator`", "layer 3 (`dropout 1.5`)"]);
    refused_file("\"reshape 8 8 1\"", "\"reshape 8 9 1\"", &["layer 5 (`reshape 8 9 1`)", "64", "72"]);
    refused_file(
        "[\"flatten\", ",
        "[\"flatten\", \"conv 8 3\", ",
        &["key `discriminator`", "layer 2 (`conv 8 3`)", "64]"],
    );
    refused_file(
        "\"dense 64 tanh\", \"reshape 8 8 1\"]",
        "\"dense 128 tanh\", \"reshape 8 8 2\"]",
        &["key `generator`", "makes samples of shape [8, 8, 2]", "the data has [8, 8, 1]"],
    );
    refused_file("\"dense 1\"]", "\"dense 2\"]", &["key `discriminator`", "[2]", "one logit"]);
    refused_file(
        "\"dropout 0.1\"",
        "\"batch_norm\"",
        &["`r1` needs each sample's own gradient", "batch norm", "layer_norm"],
    );
    // Decoders are asked for before a phase would look for them.
    refused_file(
        "name = \"r1\"\nstrength = \"cosine 1 -> 0.1\"",
        "name = \"reconstruction\"\nstrength = 1",
        &[
            "key `regularizers`",
            "`reconstruction` compares",
            "this one has none",
            "`fastgan` with `decoders = 1`",
        ],
    );
    refused_file(
        "layers = [\"dense 24\", \"batch_norm\", \"relu\", \"dense 64 tanh\", \"reshape 8 8 1\"]",
        "layers = []",
        &["key `generator`", "either `layers = [..]` or `model"],
    );
}

#[test]
fn a_batch_that_a_layer_cannot_take_is_refused_before_anything_is_made() {
    let folder = prepared();
    let words = ["key `generator`", "layer 2 (`batch_norm`)", "at least 2"];
    refused(folder.path(), 1, &["--recipe", "tiny.toml", "--set", "batch=1"], &words);
    refused(folder.path(), 1, &["--recipe", "tiny.toml", "--set", "batch=1", "--json"], &words);
    // Nothing of the refused run stands in the way of a corrected one.
    let arguments = ["train", "./set", "--recipe", "tiny.toml", "--steps", "2", "--out", "run"];
    run(folder.path(), &[&arguments[..], &["--set", "batch=2"]].concat()).fine();
    // Without layers that look at the whole batch, one sample is enough.
    let plain = TINY.replace("\"batch_norm\", ", "");
    std::fs::write(folder.path().join("plain.toml"), plain).unwrap();
    let arguments = ["train", "./set", "--recipe", "plain.toml", "--steps", "2", "--set", "batch=1"];
    run(folder.path(), &[&arguments[..], &["--out", "single"]].concat()).fine();
}

#[test]
fn layers_and_model_exclude_each_other() {
    refused_file(
        "layers = [\"dense 24\"",
        "model = \"r3gan\"\nlayers = [\"dense 24\"",
        &["key `generator`", "both `layers` and `model`", "keep one"],
    );
    let layers = "layers = [\"dense 24\", \"batch_norm\", \"relu\", \"dense 64 tanh\", \"reshape 8 8 1\"]";
    refused_file(layers, "model = \"r3gn\"", &["unknown model `r3gn`", "did you mean `r3gan`?"]);
    refused_file(
        layers,
        "model = \"r3gan\"\noptions = { widhts = [8] }",
        &["option of model `r3gan` `widhts`", "did you mean `widths`?"],
    );
    refused_file(
        layers,
        "model = \"r3gan\"\noptions = { widths = [8, 8, 8, 8, 8], blocks = [0, 0, 0, 0, 0] }",
        &["`widths` lists 5 stages", "multiples of 16", "got 8x8"],
    );
    for (model, words) in [
        (
            "\"resnet\"\noptions = { multipliers = [2, 1, 1, 1, 1] }",
            ["`multipliers` lists 5 stages", "multiples of 16, got 8x8"],
        ),
        ("\"sagan\"\noptions = { attention = [6] }", ["`attention` names 6 pixels", "[8]"]),
        ("\"biggan\"\noptions = { hierarchical = 2 }", ["`hierarchical` is 0 (off) or 1 (on)", "got [2]"]),
        ("\"dcgan\"\noptions = { channels = 0 }", ["`channels` and `max_channels`", "at least 1"]),
    ] {
        refused_file(layers, &format!("model = {model}"), &words);
    }
    refused_file(
        layers,
        "layers = [\"concat_label\", \"dense 64 tanh\", \"reshape 8 8 1\"]",
        &["layer 1 (`concat_label`)", "[data] classes = N"],
    );
    refused_file(
        layers,
        &format!("{layers}\noptions = {{ widths = [8] }}"),
        &["key `generator`", "has `options`", "only a `model`"],
    );
    let folder = prepared();
    for (set, words) in [
        ("generator.model=r3gn", ["unknown model `r3gn`", "did you mean `r3gan`?"]),
        ("generator.layers=[\"dens 64\"]", ["layer 1 (`dens 64`)", "did you mean `dense`?"]),
        ("generator.layers=dense 64", ["--set generator.layers=dense 64", "a sequence"]),
        ("generator.layers=[]", ["key `generator`", "either `layers = [..]` or `model"]),
        ("generator.options.widths=[8]", ["key `generator`", "only a `model`"]),
        ("generator.modle=r3gan", ["unknown key `generator.modle`", "did you mean `generator.model`?"]),
        ("train=3", ["`train` is a table of keys", "train.batch"]),
    ] {
        refused(folder.path(), 1, &["--recipe", "tiny.toml", "--set", set], &words);
    }
}

#[test]
fn options_of_the_command_line_are_checked_by_name() {
    let folder = prepared();
    let recipe = ["--recipe", "tiny.toml"];
    let with = |more: &[&'static str]| [&recipe[..], more].concat();
    refused(folder.path(), 2, &with(&["--threads", "0"]), &["--threads", "0 threads", "at least 1"]);
    refused(folder.path(), 2, &with(&["--threads", "many"]), &["--threads", "whole number from 1 to 1024"]);
    refused(folder.path(), 2, &with(&["--images", "5"]), &["--steps", "--images", "cannot be used"]);
    refused(folder.path(), 2, &with(&["--resume", "old"]), &["--resume", "--out", "cannot be used"]);
    refused(folder.path(), 2, &with(&["--stpes", "5"]), &["--stpes", "--steps"]);
    for (option, value) in [("--minutes", "0"), ("--minutes", "1e300"), ("--epochs", "-1"), ("--images", "0")]
    {
        let arguments = ["train", "./set", "--recipe", "tiny.toml", option, value];
        run(folder.path(), &arguments).fails(2, &[option, value]);
    }
    for steps in ["18446744073709551615", "4611686018427387904"] {
        let arguments = ["train", "./set", "--recipe", "tiny.toml", "--steps", steps, "--out", "run"];
        run(folder.path(), &arguments).fails(1, &[steps]);
    }
    run(folder.path(), &["trian"]).fails(2, &["trian", "train"]);
    run(folder.path(), &["bench", "dcgan82"])
        .fails(1, &["unknown workload `dcgan82`", "did you mean `dcgan28`?"]);
    assert!(run(folder.path(), &[]).code == Some(2), "no verb is a usage error");
}

#[test]
fn instruction_sets_are_checked_wherever_they_matter() {
    let folder = trained();
    for arguments in [
        &["train", "./set", "--recipe", "tiny.toml", "--steps", "1", "--out", "other"][..],
        &["train", "./set", "--recipe", "tiny.toml", "--dry-run"],
        &["sample", "run", "--out", "a.png"],
        &["doctor"],
        &["bench", "mlp2d"],
    ] {
        let ended = run_with(folder.path(), ("GANYMEDE_ISA", "sse9"), arguments);
        // `bench` starts a process a workload, each of which would say the same.
        ended.fails(1, &["GANYMEDE_ISA", "unknown instruction set `sse9`", "expected one of portable"]);
    }
    let arguments = ["train", "./set", "--recipe", "tiny.toml", "--steps", "1", "--out", "other"];
    run_with(folder.path(), ("GANYMEDE_CONV", "winograd"), &arguments)
        .fails(1, &["GANYMEDE_CONV", "unknown convolution algorithm `winograd`", "takes `direct` or `any`"]);
    assert!(!folder.path().join("other").exists() && !folder.path().join("a.png").exists());

    use ganymede_kernels::isa::{Isa, IsaError};
    for isa in Isa::ALL {
        let ended =
            run_with(folder.path(), ("GANYMEDE_ISA", isa.name()), &["sample", "run", "--out", "b.png"]);
        if isa.supported() {
            ended.fine();
        } else {
            ended.fails(1, &["GANYMEDE_ISA", "this CPU lacks", isa.name(), "choose one of these"]);
        }
        // On a CPU that has them all, the refusal's words are checked where they are made.
        let words = IsaError::Unsupported(isa).to_string();
        assert!(words.contains("this CPU lacks") && words.contains(isa.name()) && words.contains("portable"));
    }
}
