//! Reading recipes: text, built-in names, `--set` overrides, and errors that name line, key and the nearest choice.

use super::{BUILTIN, Recipe, RecipeError, unknown};
use std::path::Path;

/// Keys that read shorter than they are filed; each stands for every key with that ending.
const ALIASES: &[(&str, &str)] =
    &[("gamma", "strength"), ("n_critic", "critic_steps"), ("learning_rate", "lr")];

/// Keys that a recipe may leave out, and that can be set nevertheless.
const OPTIONAL: &[&str] = &["beta1", "beta2", "eps", "weight_decay", "momentum", "nesterov"];

/// What belongs to a run and not to its recipe, and where it is said.
const SETTLED: &[(&str, &str)] = &[
    ("data", "name the data after `train`; data.shape and data.default are keys"),
    ("seed", "the run's seed is given with --seed when it begins"),
    ("run.data", "name the data after `train`"),
    ("run.seed", "the run's seed is given with --seed when it begins"),
    ("run.images", "give the run's length with --images"),
];

/// Parts of a recipe that can be set as a whole, e.g. `regularizers=[]`.
const SECTIONS: &[&str] = &[
    "best",
    "data",
    "latent",
    "train",
    "loss",
    "ema",
    "augment",
    "regularizers",
    "generator",
    "generator.options",
    "generator.optimizer",
    "discriminator",
    "discriminator.options",
    "discriminator.optimizer",
];

/// The tables of the two networks.
const SIDES: [&str; 2] = ["generator", "discriminator"];

impl Recipe {
    /// The recipe of that name, or the one in that file. An override is `key=value`; a key may be a whole path
    /// (`generator.optimizer.lr`) or an ending that sets every key with it (`lr`).
    pub fn load(name_or_path: &str, overrides: &[String]) -> Result<Recipe, RecipeError> {
        let (at, text) = match BUILTIN.iter().find(|b| b.name == name_or_path) {
            Some(builtin) => (format!("recipe `{}`", builtin.name), builtin.text.to_string()),
            None => {
                let looks_like_path = name_or_path.ends_with(".toml") || name_or_path.contains(['/', '\\']);
                if !looks_like_path {
                    let known: Vec<&str> = BUILTIN.iter().map(|b| b.name).collect();
                    return Err(RecipeError {
                        at: "--recipe".into(),
                        message: format!(
                            "{}; a file of your own must end in .toml",
                            unknown("recipe", name_or_path, &known)
                        ),
                    });
                }
                let text = std::fs::read_to_string(Path::new(name_or_path)).map_err(|e| RecipeError {
                    at: name_or_path.to_string(),
                    message: format!(
                        "cannot read the recipe: {e}; name a file that is there, or a recipe that `ganymede recipes` lists"
                    ),
                })?;
                (name_or_path.to_string(), text)
            }
        };
        Recipe::parse(&at, &text, overrides)
    }

    /// A recipe that comes with the binary.
    pub fn builtin(name: &str) -> Result<Recipe, RecipeError> {
        Recipe::load(name, &[])
    }

    /// Parses TOML text; `at` names its origin in errors.
    pub fn parse(at: &str, text: &str, overrides: &[String]) -> Result<Recipe, RecipeError> {
        let mut recipe: Recipe = toml::from_str(text).map_err(|e| explain(at, text, &e))?;
        if let Some((path, message)) = recipe.unused().into_iter().next() {
            return Err(RecipeError { at: format!("{at}, key `{path}`"), message });
        }
        if !overrides.is_empty() {
            let mut table = toml::Table::try_from(&recipe)
                .map_err(|e| RecipeError { at: at.to_string(), message: e.to_string() })?;
            let (own, mut targets) = (table.clone(), Vec::new());
            for entry in overrides {
                targets.push((entry, set(&mut table, &own, entry)?));
            }
            let keys: Vec<&str> = overrides.iter().map(String::as_str).collect();
            recipe = table.try_into().map_err(|e: toml::de::Error| RecipeError {
                at: format!("--set {}", keys.join(" --set ")),
                message: plain(e.message()),
            })?;
            // What another optimizer leaves unused of the recipe's own is dropped; what was asked for is not.
            let unused = recipe.unused();
            for (entry, paths) in targets {
                let first = unused.iter().find(|(path, _)| paths.contains(path));
                if let Some((_, message)) = first
                    && paths.iter().all(|p| unused.iter().any(|(path, _)| path == p))
                {
                    return Err(RecipeError { at: format!("--set {entry}"), message: message.clone() });
                }
            }
        }
        recipe.validate()?;
        Ok(recipe.resolved())
    }

    /// Keys that are given and mean nothing, with what to say about each.
    fn unused(&self) -> Vec<(String, String)> {
        let sides = [("generator", &self.generator), ("discriminator", &self.discriminator)];
        let of = |(side, network): (&str, &super::NetworkSpec)| {
            let spec = &network.optimizer;
            let say = |key: &str| {
                let message = match spec.calls_its_momentum_beta1() && key == "momentum" {
                    true => format!("optimizer `{}` has its momentum as beta1: use that", spec.kind),
                    false => format!("optimizer `{}` has no {key}: leave it out", spec.kind),
                };
                (format!("{side}.optimizer.{key}"), message)
            };
            spec.unused().into_iter().map(say).collect::<Vec<_>>()
        };
        sides.into_iter().flat_map(of).collect()
    }

    /// As TOML text.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|e| unreachable!("a recipe is plain TOML data: {e}"))
    }
}

/// Adds file, line and the nearest known key to a parser's error.
fn explain(at: &str, text: &str, error: &toml::de::Error) -> RecipeError {
    let line = error.span().map(|s| 1 + text[..s.start.min(text.len())].matches('\n').count());
    let at = line.map_or(at.to_string(), |line| format!("{at}, line {line}"));
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let message = match quoted.split_first() {
        Some((name, known)) if message.starts_with("unknown field") => unknown("key", name, known),
        Some((name, known)) if message.starts_with("unknown variant") => unknown("choice", name, known),
        _ => plain(message),
    };
    RecipeError { at, message }
}

/// A parser's message without the names of Rust's types.
fn plain(message: &str) -> String {
    ["usize", "u64"].iter().fold(message.to_string(), |text, ty| {
        text.replace(&format!("expected {ty}"), "expected a whole number of at least 0")
    })
}

/// Every path to a leaf of the table, e.g. `generator.optimizer.lr`, `regularizers.0.strength`.
pub(super) fn leaves(prefix: &str, value: &toml::Value, out: &mut Vec<String>) {
    let join = |key: &str| if prefix.is_empty() { key.to_string() } else { format!("{prefix}.{key}") };
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(k, v)| leaves(&join(k), v, out)),
        toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
            items.iter().enumerate().for_each(|(i, v)| leaves(&join(&i.to_string()), v, out));
        }
        _ => out.push(prefix.to_string()),
    }
}

/// Whether an override reaches the key at `path`: by its whole path, an ending of it, or a table around it.
pub fn reaches(entry: &str, path: &str) -> bool {
    let key = entry.split_once('=').map_or(entry, |(key, _)| key).trim();
    key == path || path.ends_with(&format!(".{key}")) || path.starts_with(&format!("{key}."))
}

/// Whether a key is set by its whole path alone: its ending means something else too.
fn alone(path: &str) -> bool {
    path == "ema.ramp" || (path.starts_with("regularizers.") && path.ends_with(".augment"))
}

/// Sets what an override names in a recipe that was `own`; returns the paths.
fn set(table: &mut toml::Table, own: &toml::Table, entry: &str) -> Result<Vec<String>, RecipeError> {
    let fail = |message: String| RecipeError { at: format!("--set {entry}"), message };
    let (key, text) =
        entry.split_once('=').ok_or_else(|| fail("expected KEY=VALUE, e.g. train.batch=32".into()))?;
    let (key, text) = (key.trim(), text.trim());
    // Bare words are strings, so that no quotes are needed on the command line.
    let value = format!("v = {text}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|t| t.get("v").cloned())
        .unwrap_or_else(|| toml::Value::String(text.to_string()));
    let mut paths = Vec::new();
    // Regularizers without a strength of their own still can be given one.
    if let Some(toml::Value::Array(items)) = table.get_mut("regularizers") {
        for item in items.iter_mut().filter_map(toml::Value::as_table_mut) {
            let name = item.get("name").and_then(toml::Value::as_str).unwrap_or_default();
            let default = crate::regularizers::find(name).map_or(0.0, |r| r.default_strength());
            item.entry("strength").or_insert(toml::Value::Float(default));
        }
    }
    leaves("", &toml::Value::Table(table.clone()), &mut paths);
    // What the command line settled is no part of the recipe.
    paths.retain(|p| !p.starts_with("run."));
    for side in SIDES {
        paths.extend(OPTIONAL.iter().map(|key| format!("{side}.optimizer.{key}")));
        paths.extend(["model", "layers", "spectral_norm"].map(|key| format!("{side}.{key}")));
        let model = table.get(side).and_then(|n| n.get("model")).and_then(toml::Value::as_str);
        if let Some(model) = model.and_then(crate::models::find) {
            paths.extend(model.options().iter().map(|o| format!("{side}.options.{}", o.key)));
        }
    }
    let count = table.get("regularizers").and_then(toml::Value::as_array).map_or(0, Vec::len);
    for i in 0..count {
        paths.extend(["network", "augment"].map(|key| format!("regularizers.{i}.{key}")));
    }
    let open = [
        "data.classes",
        "ema.half_life",
        "ema.buffers",
        "train.pack",
        "loss.real_label",
        "loss.fake_label",
        "loss.generator_label",
    ];
    let more = [
        "loss.top_k",
        "loss.instance_noise",
        "augment.policy",
        "augment.probability",
        "augment.target",
        "augment.ramp",
        "train.class_balanced",
        "ema.ramp",
        "best.metric",
        "train.accumulate",
        "train.standing_statistics",
        "discriminator.freeze",
        "discriminator.classify",
    ];
    paths.extend(open.iter().chain(&more).map(|key| key.to_string()));
    paths.sort_unstable();
    paths.dedup();
    let wanted = ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, real)| real);
    // A whole path means itself alone: `name` is not `loss.name`.
    let hits: Vec<String> = match paths.iter().find(|p| *p == wanted) {
        Some(whole) => vec![whole.clone()],
        None => paths.iter().filter(|p| p.ends_with(&format!(".{wanted}")) && !alone(p)).cloned().collect(),
    };
    // Options of named models are open: the model itself checks them.
    let option = SIDES.iter().any(|side| wanted.starts_with(&format!("{side}.options.")));
    let section = SECTIONS.contains(&wanted) && (value.is_table() || value.is_array());
    if hits.is_empty() && !option && !section {
        if let Some((_, option)) = SETTLED.iter().find(|(key, _)| *key == wanted) {
            return Err(fail(format!("`{key}` is no key of a recipe: {option}")));
        }
        if SECTIONS.contains(&wanted) {
            let own = |p: &&String| p.starts_with(&format!("{wanted}."));
            let keys: Vec<&str> = paths.iter().filter(own).map(String::as_str).collect();
            let keys = keys.join(", ");
            return Err(fail(format!(
                "`{key}` is a table of keys: set one of them ({keys}), or all: {key}={{..}}"
            )));
        }
        // An alias is known, but this recipe has nothing that it stands for.
        if wanted != key {
            return Err(fail(format!(
                "`{key}` stands for every `{wanted}` of a recipe, and this one has none (a regularizer has a strength: \
                 regularizers=[{{name=\"r1\", strength=1}}] adds one)"
            )));
        }
        // A path is compared with paths, a short key with endings: together they would bury the answer.
        let mut known: Vec<&str> = match key.contains('.') {
            true => paths.iter().map(String::as_str).collect(),
            false => paths.iter().filter_map(|p| p.rsplit('.').next()).collect(),
        };
        known.extend(ALIASES.iter().map(|(alias, _)| *alias).filter(|_| !key.contains('.')));
        known.extend(SECTIONS.iter().filter(|s| s.contains('.') == key.contains('.')));
        known.sort_unstable();
        known.dedup();
        return Err(fail(unknown("key", key, &known)));
    }
    let targets = if hits.is_empty() { vec![wanted.to_string()] } else { hits };
    for path in &targets {
        assign(table, path, value.clone()).map_err(&fail)?;
        replace(table, own, path);
    }
    Ok(targets)
}

/// A network is either a list of layers or a model: setting one takes the other away, which would exclude it. Another model than
/// that of the recipe as it was, `own`, has other options, so those of the recipe go; those that were set stay.
fn replace(table: &mut toml::Table, own: &toml::Table, path: &str) {
    let Some((side, key)) = path.split_once('.') else { return };
    let Some(network) = table.get_mut(side).filter(|_| SIDES.contains(&side)).and_then(|n| n.as_table_mut())
    else {
        return;
    };
    let excluded: &[&str] = match key {
        "model" => &["layers"],
        "layers" => &["model", "options"],
        _ => &[],
    };
    for key in excluded {
        network.remove(*key);
    }
    let own = own.get(side).and_then(toml::Value::as_table);
    let own_model = own.and_then(|own| own.get("model"));
    if own_model.is_some() && own_model != network.get("model") {
        let own_options = own.and_then(|own| own.get("options")).and_then(toml::Value::as_table);
        if let Some(options) = network.get_mut("options").and_then(toml::Value::as_table_mut) {
            options.retain(|key, value| own_options.is_none_or(|own| own.get(key) != Some(&*value)));
        }
    }
}

/// Puts `value` at a dotted path, making the tables on the way.
fn assign(table: &mut toml::Table, path: &str, value: toml::Value) -> Result<(), String> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let Some(rest) = rest else {
        table.insert(first.to_string(), value);
        return Ok(());
    };
    match table.entry(first).or_insert_with(|| toml::Value::Table(toml::Table::new())) {
        toml::Value::Table(inner) => assign(inner, rest, value),
        toml::Value::Array(items) => {
            let (index, rest) = rest.split_once('.').ok_or("an entry of a list is set key by key")?;
            let index: usize = index.parse().map_err(|_| format!("`{index}` is not an index"))?;
            let count = items.len();
            let item = items.get_mut(index).and_then(toml::Value::as_table_mut);
            assign(item.ok_or(format!("`{first}` has {count} entries, there is none {index}"))?, rest, value)
        }
        _ => Err(format!("`{first}` is a plain value")),
    }
}
