use crate::args::Recipes;
use crate::say::say;
use ganymede::Recipe;
use ganymede::recipe::BUILTIN;
use ganymede::{
    augment::AUGMENTATIONS, best::RUN_METRICS, losses::LOSSES, models::MODELS, regularizers::REGULARIZERS,
};
use ganymede_nn::layer_list::LAYERS;
use ganymede_nn::optim::{OPTIMIZERS, Optimizer};
use ganymede_nn::{Activation, init, schedule};
use std::process::ExitCode;

pub fn run(options: &Recipes) -> anyhow::Result<ExitCode> {
    if options.words {
        words(options.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &options.name {
        let recipe = Recipe::builtin(name)?;
        if options.json {
            say!("{}", serde_json::to_string(&recipe)?)?;
        } else if let Some(builtin) = BUILTIN.iter().find(|b| b.name == name) {
            say!("{}", builtin.text.trim_end())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    for builtin in BUILTIN {
        let recipe = Recipe::builtin(builtin.name)?;
        if options.json {
            let line =
                serde_json::json!({"name": recipe.name, "about": recipe.about, "shape": recipe.data.shape});
            say!("{line}")?;
        } else {
            say!("{:<13} {}", recipe.name, recipe.about)?;
        }
    }
    if !options.json {
        say!(
            "\n`ganymede recipes NAME` prints one; save it as a .toml file to make your own. `ganymede recipes --words` \
             lists what\nthere is to make it of."
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One word of a recipe.
struct Word {
    kind: &'static str,
    name: &'static str,
    usage: String,
    /// Where the usage does not show it.
    example: &'static str,
    about: String,
    paper: &'static str,
}

impl Word {
    fn new(kind: &'static str, name: &'static str, usage: impl Into<String>, about: &str) -> Self {
        Self { kind, name, usage: usage.into(), example: "", about: about.into(), paper: "" }
    }
}

/// Keys of an optimizer, those of all optimizers first, then those that only some have.
const OPTIMIZER_KEYS: &[(&str, &str, &str)] = &[
    ("lr", "lr = SCHEDULE", "learning rate"),
    ("clip_norm", "clip_norm = 0", "gradients with a larger global norm are scaled down to it; 0 is off"),
    ("clip_value", "clip_value = 0", "each element of a gradient is first clamped to +- this; 0 is off"),
    ("beta1", "beta1 = SCHEDULE", "decay of the first moment; of sgd: its momentum"),
    ("beta2", "beta2 = SCHEDULE", "decay of the second moment; of rmsprop: of the mean square"),
    ("eps", "eps = NUMBER", "added to the root of the second moment"),
    (
        "weight_decay",
        "weight_decay = NUMBER",
        "decoupled in adamw, elsewhere an L2 penalty added to the gradient",
    ),
    ("momentum", "momentum = NUMBER", "of rmsprop: share of the last step that is added"),
    ("nesterov", "nesterov = true", "of sgd: looks ahead along the momentum"),
];

/// Keys of the moving average.
const EMA_KEYS: &[(&str, &str, &str)] = &[
    (
        "half_life",
        "half_life = SCHEDULE",
        "images after which a weight has moved half way to a new value; 0 follows at once",
    ),
    (
        "ramp",
        "ramp = NUMBER",
        "bounds the half-life by this share of the images shown so far; 0.05 in StyleGAN2",
    ),
    (
        "buffers",
        "buffers = \"copy\" or \"average\"",
        "whether the average takes the newest running statistics or averages them too",
    ),
];

/// Keys of the loss beside its name.
const LOSS_KEYS: &[(&str, &str, &str)] = &[
    (
        "real_label",
        "real_label = 1",
        "target of real samples, for losses with targets: 0.9 is one-sided label smoothing",
    ),
    ("fake_label", "fake_label = 0", "target of generated samples, likewise"),
    (
        "generator_label",
        "generator_label = 1",
        "target of the generator, for least-squares: its coding -1, 1, 0 has fake_label = -1 and generator_label = 0",
    ),
    (
        "top_k",
        "top_k = SCHEDULE",
        "share of the generated samples, those with the largest logits, that the generator learns from",
    ),
    (
        "instance_noise",
        "instance_noise = SCHEDULE",
        "deviation of normal noise on everything that the discriminator sees",
    ),
];

/// Keys of a regularizer beside its name.
const REGULARIZER_KEYS: &[(&str, &str, &str)] = &[
    (
        "strength",
        "strength = SCHEDULE or \"auto\"",
        "factor on its term; the usual one where it is left out; auto: of r1 and r2, from the size of images and batch",
    ),
    (
        "augment",
        "augment = [\"flip\", \"translation\"]",
        "of the consistency regularizers: what they change samples by; this where it is left out",
    ),
    ("every", "every = 1", "applied at every so many steps of its network, that many times as strongly"),
    (
        "network",
        "network = \"discriminator\" or \"generator\"",
        "for a regularizer that can be applied to either",
    ),
];

/// Keys of the augmentation.
const AUGMENT_KEYS: &[(&str, &str, &str)] = &[
    ("policy", "policy = [\"color\", \"translation\", \"cutout\"]", "augmentations, one after the other"),
    (
        "probability",
        "probability = SCHEDULE",
        "with which each part of each acts on a sample; 1 where it is left out",
    ),
    (
        "target",
        "target = NUMBER",
        "adapts it so that the mean sign of real samples' logits comes to this; 0.6 in ADA",
    ),
    ("ramp", "ramp = 500000", "images over which an adapted probability could go from 0 to 1"),
];

/// Keys of a network beside its layers or model.
const NETWORK_KEYS: &[(&str, &str, &str)] = &[
    (
        "spectral_norm",
        "spectral_norm = 0",
        "power iterations a step by which every weight is divided by its largest singular value; 0 is off",
    ),
    (
        "freeze",
        "freeze = 0",
        "of the discriminator: so many of its first layers do not learn, for runs that begin with --from",
    ),
    (
        "classify",
        "classify = false",
        "of a discriminator that is a model: it guesses the class and is not told it, for auxiliary-classifier",
    ),
];

/// Keys of the best checkpoint.
const BEST_KEYS: &[(&str, &str, &str)] = &[(
    "metric",
    "metric = NAME",
    "metric by which samples are scored at each tick; the best checkpoint is kept",
)];

/// Keys of the training loop.
const TRAIN_KEYS: &[(&str, &str, &str)] = &[
    ("batch", "batch = NUMBER", "samples a step"),
    (
        "accumulate",
        "accumulate = 1",
        "parts in which a batch is taken, whose gradients are added up: the same step in less memory",
    ),
    (
        "standing_statistics",
        "standing_statistics = 0",
        "batches of latents over which batch norm's statistics are taken anew before samples are drawn; 0 is off",
    ),
    ("critic_steps", "critic_steps = 1", "discriminator steps for each step of the generator"),
    (
        "images",
        "images = NUMBER",
        "length of a run in real samples shown, unless the command line says otherwise",
    ),
    (
        "pack",
        "pack = 1",
        "samples that the discriminator judges together, by which it sees when they are too alike",
    ),
    (
        "statistics",
        "statistics = [\"generator-step\", \"real-pass\"]",
        "passes that update batch norm's running statistics; also \"fake-pass\"",
    ),
    ("precision", "precision = \"f32\" or \"bf16\"", "arithmetic of matrix products and convolutions"),
    ("memory", "memory = \"normal\" or \"low\"", "low computes activations again instead of keeping them"),
];

/// An optimizer's settings under the keys that recipes have for them, with its own values.
fn settings(optimizer: &dyn Optimizer) -> String {
    let [first, second] = optimizer.decays();
    let keys = [
        ("beta1", first),
        ("beta2", second),
        ("eps", Some("eps")),
        ("momentum", Some("momentum").filter(|_| first != Some("momentum"))),
        ("nesterov", Some("nesterov")),
        ("weight_decay", Some("weight_decay")),
    ];
    let own = |setting: Option<&str>| optimizer.settings().into_iter().find(|s| Some(s.name) == setting);
    let settings = keys.into_iter().filter_map(|(key, setting)| {
        let value = own(setting)?.value;
        Some(if key == "nesterov" { format!(" {key}={}", value != 0.0) } else { format!(" {key}={value}") })
    });
    settings.collect()
}

fn vocabulary() -> Vec<Word> {
    let mut words = Vec::new();
    for l in LAYERS {
        words.push(Word { example: l.example(), ..Word::new("layer", l.name(), l.usage(), l.doc()) });
    }
    for a in Activation::ALL.into_iter().filter(|a| *a != Activation::None) {
        let usage = match a {
            Activation::LeakyRelu(_) => format!("{}[=SLOPE]", a.name()),
            _ => a.name().to_string(),
        };
        words.push(Word::new(
            "activation, at the end of a layer's line or on a line of its own",
            a.name(),
            usage,
            a.doc(),
        ));
    }
    for i in init::WORDS {
        let word = Word::new("initializer, as init=... of a layer", i.name, i.usage, i.doc);
        words.push(Word { example: i.example, ..word });
    }
    for l in LOSSES {
        words.push(Word { paper: l.paper(), ..Word::new("loss", l.name(), l.name(), l.about()) });
    }
    for r in REGULARIZERS {
        let usage = format!("{} strength={}", r.name(), r.default_strength());
        words.push(Word { paper: r.paper(), ..Word::new("regularizer", r.name(), usage, r.about()) });
    }
    for a in AUGMENTATIONS {
        words.push(Word { paper: a.paper(), ..Word::new("augmentation", a.name(), a.name(), a.about()) });
    }
    for m in RUN_METRICS {
        let word = Word::new("metric, as best.metric", m.name(), m.name(), m.about());
        words.push(Word { paper: m.paper(), ..word });
    }
    for m in MODELS {
        words.push(Word { paper: m.paper(), ..Word::new("model", m.name(), m.name(), m.about()) });
        for o in m.options() {
            let usage = format!("{}={:?}", o.key, o.default);
            words.push(Word { paper: m.paper(), ..Word::new("model option", o.key, usage, o.about) });
        }
    }
    for o in OPTIMIZERS {
        let usage = format!("{}{}", o.name(), settings(*o));
        words.push(Word { paper: o.paper(), ..Word::new("optimizer", o.name(), usage, o.doc()) });
    }
    let keys = |kind, keys: &[(&'static str, &'static str, &'static str)]| {
        keys.iter().map(|(name, usage, about)| Word::new(kind, name, *usage, about)).collect::<Vec<_>>()
    };
    words.extend(keys("optimizer key", OPTIMIZER_KEYS));
    words.extend(keys("ema key", EMA_KEYS));
    words.extend(keys("loss key", LOSS_KEYS));
    words.extend(keys("regularizer key", REGULARIZER_KEYS));
    words.extend(keys("augment key", AUGMENT_KEYS));
    words.extend(keys("network key", NETWORK_KEYS));
    words.extend(keys("best key", BEST_KEYS));
    words.extend(keys("train key", TRAIN_KEYS));
    for f in schedule::FORMS {
        let word = Word::new(
            "schedule, for lr, beta1, beta2, strength, half_life, top_k, instance_noise and probability",
            f.name,
            f.usage,
            f.doc,
        );
        words.push(Word { example: f.example, ..word });
    }
    words
}

fn words(json: bool) -> anyhow::Result<()> {
    let mut title = "";
    for word in vocabulary() {
        let Word { kind, name, usage, example, about, paper } = &word;
        // What stands after the comma is for people.
        let plain = kind.split(',').next().unwrap_or(kind);
        if json {
            let line = serde_json::json!({
                "kind": plain, "name": name, "usage": usage, "example": example, "about": about, "paper": paper,
            });
            say!("{line}")?;
            continue;
        }
        if *kind != title {
            let before = if title.is_empty() { "" } else { "\n" };
            title = kind;
            say!("{before}{title}")?;
        }
        let example = if example.is_empty() || *example == usage.as_str() {
            String::new()
        } else {
            format!("    e.g. {example}")
        };
        let paper =
            if paper.is_empty() || plain == "model option" { String::new() } else { format!(" ({paper})") };
        say!("  {usage}{example}\n      {about}{paper}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_registry_is_listed_whole() {
        let words = vocabulary();
        let count = |kind: &str| words.iter().filter(|w| w.kind.split(',').next() == Some(kind)).count();
        assert_eq!(count("layer"), LAYERS.len());
        assert_eq!(count("loss"), LOSSES.len());
        assert_eq!(count("regularizer"), REGULARIZERS.len());
        assert_eq!(count("augmentation"), AUGMENTATIONS.len());
        assert_eq!(count("metric"), RUN_METRICS.len());
        assert_eq!(count("model"), MODELS.len());
        assert_eq!(count("optimizer"), OPTIMIZERS.len());
        assert_eq!(count("activation"), Activation::ALL.len() - 1);
        assert_eq!(count("initializer"), init::WORDS.len());
        assert_eq!(count("schedule"), schedule::FORMS.len());
        assert!(words.iter().all(|w| w.usage.contains(w.name) && w.about.len() > 5));
        let of = |name: &str| words.iter().find(|w| w.name == name).map(|w| w.usage.clone()).unwrap();
        assert_eq!(of("sgd"), "sgd beta1=0 nesterov=false weight_decay=0");
        assert_eq!(of("rmsprop"), "rmsprop beta2=0.99 eps=0.00000001 momentum=0 weight_decay=0");
    }

    #[test]
    fn the_keys_listed_are_those_of_a_recipe() {
        let text = |kind: &str, extra: &str| {
            let recipe = Recipe::load("dcgan28", &[format!("generator.optimizer.kind={kind}"), extra.into()]);
            toml::Table::try_from(recipe.unwrap()).unwrap()
        };
        // Between them, two optimizers have every key.
        let mut keys: Vec<String> = ["sgd", "rmsprop"]
            .iter()
            .flat_map(|kind| {
                let table = text(kind, "ema.buffers=average");
                table["generator"]["optimizer"].as_table().unwrap().keys().cloned().collect::<Vec<_>>()
            })
            .filter(|k| k != "kind")
            .collect();
        keys.sort();
        keys.dedup();
        let sorted = |list: &[(&str, &str, &str)]| {
            let mut names: Vec<String> = list.iter().map(|k| k.0.to_string()).collect();
            names.sort();
            names
        };
        assert_eq!(keys, sorted(OPTIMIZER_KEYS));
        let ema: Vec<String> = text("adam", "ema={half_life=1,ramp=0.05,buffers=\"copy\"}")["ema"]
            .as_table()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        let mut ema = ema;
        ema.sort();
        assert_eq!(ema, sorted(EMA_KEYS));
        let sets =
            ["loss.real_label=0.9", "loss.fake_label=0.1", "loss.top_k=0.5", "loss.instance_noise=0.1"];
        let more = [
            "train.pack=2",
            "train.standing_statistics=4",
            "discriminator.spectral_norm=1",
            "discriminator.freeze=1",
            "best.metric=quality",
            "augment={policy=[\"flip\"],probability=0.5,target=0.6,ramp=1000}",
        ];
        let sets: Vec<String> = sets.iter().chain(&more).map(|s| s.to_string()).collect();
        let table = toml::Table::try_from(Recipe::load("dcgan28", &sets).unwrap()).unwrap();
        let of = |part: &str, known: &[&str]| {
            let keys = table[part].as_table().unwrap().keys().cloned();
            let mut keys: Vec<String> = keys.filter(|k| !known.contains(&k.as_str())).collect();
            keys.sort();
            keys
        };
        // Only one loss has a target of the generator's.
        let squares = ["loss.name=least-squares".to_string(), "loss.generator_label=0".into()];
        let squares = toml::Table::try_from(Recipe::load("dcgan28", &squares).unwrap()).unwrap();
        assert_eq!(squares["loss"]["generator_label"].as_float(), Some(0.0));
        let loss: Vec<_> = LOSS_KEYS.iter().copied().filter(|k| k.0 != "generator_label").collect();
        assert_eq!(of("loss", &["name"]), sorted(&loss));
        // top_k cannot be told part by part, so parts stand in a recipe of their own.
        let parts = Recipe::load("dcgan28", &["train.accumulate=2".into()]).unwrap();
        let parts = toml::Table::try_from(parts).unwrap();
        assert_eq!(parts["train"]["accumulate"].as_integer(), Some(2));
        let train: Vec<_> = TRAIN_KEYS.iter().copied().filter(|k| k.0 != "accumulate").collect();
        assert_eq!(of("train", &[]), sorted(&train));
        assert_eq!(of("augment", &[]), sorted(AUGMENT_KEYS));
        // A list of layers has a word for it.
        const CLASSIFIER: &str = "regularizers=[{name=\"auxiliary-classifier\"},{name=\"auxiliary-classifier\",network=\"generator\"}]";
        let sets = ["model=dcgan", "discriminator.classify=true", "data.classes=10", CLASSIFIER];
        let guessing = Recipe::load("dcgan28", &sets.map(String::from)).unwrap();
        assert!(guessing.discriminator.classify && !guessing.generator.classify);
        let network: Vec<_> = NETWORK_KEYS.iter().copied().filter(|k| k.0 != "classify").collect();
        assert_eq!(of("discriminator", &["layers", "optimizer"]), sorted(&network));
        assert_eq!(of("best", &[]), sorted(BEST_KEYS));
        // Those of a regularizer, from one that has them all.
        let text = format!(
            "{}\n[[regularizers]]\nname = \"consistency\"\nstrength = 1\nevery = 2\nnetwork = \"discriminator\"\n\
             augment = [\"color\"]\n",
            Recipe::load("dcgan28", &[]).unwrap().to_toml().replace("regularizers = []", "")
        );
        let recipe = Recipe::parse("test", &text, &[]).unwrap();
        let table = toml::Table::try_from(&recipe.regularizers[0]).unwrap();
        let mut keys: Vec<String> = table.keys().filter(|k| *k != "name").cloned().collect();
        keys.sort();
        assert_eq!(keys, sorted(REGULARIZER_KEYS));
    }
}
