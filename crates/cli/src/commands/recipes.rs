use crate::args::Recipes;
use crate::say::say;
use ganymede::Recipe;
use ganymede::recipe::BUILTIN;
use ganymede::{losses::LOSSES, models::MODELS, regularizers::REGULARIZERS};
use ganymede_nn::layer_list::LAYERS;
use ganymede_nn::optim::OPTIMIZERS;
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
    about: String,
    paper: &'static str,
}

fn vocabulary() -> Vec<Word> {
    let mut words = Vec::new();
    for l in LAYERS {
        words.push(Word {
            kind: "layer",
            name: l.name(),
            usage: l.usage().into(),
            about: l.doc().into(),
            paper: "",
        });
    }
    for l in LOSSES {
        let (name, paper) = (l.name(), l.paper());
        words.push(Word { kind: "loss", name, usage: name.into(), about: l.about().into(), paper });
    }
    for r in REGULARIZERS {
        let (name, paper) = (r.name(), r.paper());
        let usage = format!("{name} strength={}", r.default_strength());
        words.push(Word { kind: "regularizer", name, usage, about: r.about().into(), paper });
    }
    for m in MODELS {
        let (name, paper) = (m.name(), m.paper());
        words.push(Word { kind: "model", name, usage: name.into(), about: m.about().into(), paper });
        for o in m.options() {
            let usage = format!("{}={:?}", o.key, o.default);
            words.push(Word { kind: "model option", name: o.key, usage, about: o.about.into(), paper });
        }
    }
    for o in OPTIMIZERS {
        let (name, paper) = (o.name(), o.paper());
        // By the keys of a recipe, which are the same for all.
        let [first, second] = o.decays();
        let keys = [
            ("beta1", first),
            ("beta2", second),
            ("eps", Some("eps")),
            ("weight_decay", Some("weight_decay")),
        ];
        let own = |setting: Option<&str>| o.settings().into_iter().find(|s| Some(s.name) == setting);
        let settings = keys.into_iter().filter_map(|(key, setting)| {
            let value = own(setting)?.value;
            Some(format!(" {key}={value}"))
        });
        let usage = format!("{name}{}", settings.collect::<String>());
        words.push(Word { kind: "optimizer", name, usage, about: o.doc().into(), paper });
    }
    words
}

fn words(json: bool) -> anyhow::Result<()> {
    let mut kind = "";
    for word in vocabulary() {
        let Word { name, usage, about, paper, .. } = &word;
        if json {
            let line = serde_json::json!({
                "kind": word.kind, "name": name, "usage": usage, "about": about, "paper": paper,
            });
            say!("{line}")?;
            continue;
        }
        if word.kind != kind {
            let before = if kind.is_empty() { "" } else { "\n" };
            kind = word.kind;
            say!("{before}{kind}")?;
        }
        let paper =
            if paper.is_empty() || kind == "model option" { String::new() } else { format!(" ({paper})") };
        say!("  {usage}\n      {about}{paper}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_registry_is_listed_whole() {
        let words = vocabulary();
        let count = |kind: &str| words.iter().filter(|w| w.kind == kind).count();
        assert_eq!(count("layer"), LAYERS.len());
        assert_eq!(count("loss"), LOSSES.len());
        assert_eq!(count("regularizer"), REGULARIZERS.len());
        assert_eq!(count("model"), MODELS.len());
        assert_eq!(count("optimizer"), OPTIMIZERS.len());
        assert!(words.iter().all(|w| w.usage.contains(w.name) && w.about.len() > 5));
        let of = |name: &str| words.iter().find(|w| w.name == name).map(|w| w.usage.clone()).unwrap();
        assert_eq!(of("sgd"), "sgd beta1=0 weight_decay=0");
        assert_eq!(of("rmsprop"), "rmsprop beta2=0.99 eps=0.00000001 weight_decay=0");
    }
}
