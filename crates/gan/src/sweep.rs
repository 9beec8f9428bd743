//! Comparing settings fairly: every combination of some values of a recipe's keys, over the same seeds, each run with the
//! same budget, and what came of them with intervals.

mod record;
mod table;

pub use record::{Found, Outcome, Score, Scoring, Wanted, find};
pub use table::{Cell, Row, Table};

use crate::recipe::{MemoryMode, Recipe, RecipeError};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Most runs of one sweep.
pub const MAX_RUNS: usize = 10_000;

/// A key of the recipe and the values that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// As for `--set`.
    pub key: String,
    /// Each as for `--set`.
    pub values: Vec<String>,
}

impl Axis {
    /// From `key=value,value,..`; commas inside brackets, braces and quotes belong to a value.
    ///
    /// # Errors
    /// No `=`, no key, or an empty value.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        let error = |message: &str| RecipeError { at: format!("--set {text}"), message: message.into() };
        let (key, values) = text.split_once('=').ok_or_else(|| error("expected KEY=VALUE,VALUE,.."))?;
        let values: Vec<String> = split(values).into_iter().map(|value| value.trim().to_string()).collect();
        if key.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err(error("expected KEY=VALUE,VALUE,.. with a key and without an empty value"));
        }
        Ok(Self { key: key.trim().into(), values })
    }
}

/// The parts of `text` between commas that stand outside brackets, braces and quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{' | '(') => depth += 1,
            (None, ']' | '}' | ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// One combination of values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// `key=value` of each axis, in their order: the changes of the recipe.
    pub changes: Vec<String>,
}

impl Setting {
    /// As a table shows it.
    pub fn label(&self) -> String {
        if self.changes.is_empty() { "as it is".into() } else { self.changes.join(" ") }
    }

    /// As part of a folder's name: other characters than letters, digits and `.` become `-`, and a number keeps apart what
    /// is then equal.
    pub fn folder(&self, number: usize) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let mut name: String = self.label().chars().map(plain).take(48).collect();
        while name.ends_with(['-', '.']) {
            name.pop();
        }
        format!("{:02}-{name}", number + 1)
    }
}

/// Every combination of the axes' values with its recipe, the last axis fastest.
///
/// # Errors
/// More than [`MAX_RUNS`] runs with so many seeds, the same key twice, a combination that is no recipe (`load` makes one of
/// its changes), or two that are the same.
pub fn settings(
    axes: &[Axis],
    seeds: usize,
    load: impl Fn(&[String]) -> Result<Recipe, RecipeError>,
) -> Result<Vec<(Setting, Recipe)>, RecipeError> {
    let runs = axes.iter().try_fold(seeds, |n, axis| n.checked_mul(axis.values.len()));
    if runs.is_none_or(|n| n == 0 || n > MAX_RUNS) {
        return Err(RecipeError {
            at: "sweep".into(),
            message: format!(
                "1 to {MAX_RUNS} runs are possible, these are {}: name fewer values or seeds",
                runs.map_or("more".into(), |n| n.to_string())
            ),
        });
    }
    for (i, axis) in axes.iter().enumerate() {
        if axes[..i].iter().any(|other| other.key == axis.key) {
            return Err(RecipeError {
                at: format!("--set {}", axis.key),
                message: "is there twice: give all its values at once, with commas between".into(),
            });
        }
    }
    let mut settings = vec![Setting { changes: Vec::new() }];
    for axis in axes {
        settings = settings
            .iter()
            .flat_map(|setting| {
                axis.values.iter().map(|value| {
                    let more = format!("{}={value}", axis.key);
                    Setting { changes: setting.changes.iter().cloned().chain([more]).collect() }
                })
            })
            .collect();
    }
    // What is wrong with the last combination shall not be found out after hours.
    let of = |setting: Setting| {
        let loaded = load(&setting.changes).and_then(|recipe| recipe.networks().map(|_| recipe));
        match loaded {
            Ok(recipe) => Ok((setting, recipe)),
            Err(RecipeError { at, message }) => {
                Err(RecipeError { at: format!("{at} ({})", setting.label()), message })
            }
        }
    };
    let settings = settings.into_iter().map(of).collect::<Result<Vec<_>, _>>()?;
    check_distinct(&settings)?;
    Ok(settings)
}

/// Whether all settings train differently: one that is there twice would count twice, as if it had more seeds.
///
/// # Errors
/// Two are the same, however they are written (1e-4 and 1.0e-4), or differ in what has no effect in a sweep: its runs are of
/// one length and on the same data, whatever their recipes are called, and activations computed again have the same values.
pub fn check_distinct(settings: &[(Setting, Recipe)]) -> Result<(), RecipeError> {
    let mut seen: HashMap<String, (&Setting, &Recipe)> = HashMap::new();
    for (setting, recipe) in settings {
        let mut alike = Recipe { name: String::new(), ..recipe.clone() };
        alike.data.default.clear();
        (alike.train.images, alike.train.memory) = (1, MemoryMode::default());
        if let Some((twin, other)) = seen.insert(fingerprint("", "", &alike), (setting, recipe)) {
            let same = fingerprint("", "", recipe) == fingerprint("", "", other);
            let twin = twin.label();
            return Err(RecipeError {
                at: format!("--set {}", setting.label()),
                message: match same {
                    true => format!("makes the same recipe as {twin}: name each value once"),
                    false => format!(
                        "trains as {twin} does: the length (--minutes, --images), the data (--data), names and the \
                         memory of activations make no difference between runs; leave the key out"
                    ),
                },
            });
        }
    }
    Ok(())
}

/// BLAKE3 sum of what determines a run beside its seed and budget: the data and the recipe, resolved, so that the recipe of
/// a checkpoint has the sum of the one that its run began with.
pub fn fingerprint(data: &str, data_hash: &str, recipe: &Recipe) -> String {
    let recipe = Recipe { run: None, about: String::new(), ..recipe.clone().resolved() };
    let mut hash = blake3::Hasher::new();
    for part in [data, data_hash, &recipe.to_toml()] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(text: &str) -> Axis {
        Axis::parse(text).unwrap()
    }

    #[test]
    fn commas_within_a_value_do_not_part_it() {
        assert_eq!(axis("lr=1e-4,2e-4").values, ["1e-4", "2e-4"]);
        assert_eq!(axis("generator.layers=[\"dense 2\", \"relu\"], [\"dense 3\"]").values.len(), 2);
        assert_eq!(axis("a={b = 1, c = \"x,y\"},2").values, ["{b = 1, c = \"x,y\"}", "2"]);
        for wrong in ["lr", "=1", "lr=", "lr=1,,2"] {
            assert!(Axis::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_combination_is_there_once_and_checked() {
        let load = |changes: &[String]| Recipe::load("dcgan28", changes);
        let axes = [axis("lr=1e-4,2e-4"), axis("train.batch=16,32,64")];
        let all = settings(&axes, 3, load).unwrap();
        assert_eq!(all.len(), 6);
        assert_eq!(all[1].0.changes, ["lr=1e-4", "train.batch=32"]);
        assert_eq!(all[1].1.train.batch, 32);
        assert_eq!(all[1].0.folder(1), "02-lr-1e-4-train.batch-32");
        assert_eq!(settings(&[], 3, load).unwrap()[0].0.label(), "as it is");
        let twice = settings(&[axis("lr=1e-4"), axis("lr=2e-4")], 1, load).unwrap_err();
        assert!(twice.message.contains("twice"), "{twice}");
        assert!(settings(&axes, 2000, load).unwrap_err().message.contains("12000"));
        let wrong = settings(&[axis("train.batch=16"), axis("latent.dim=8,0")], 1, load).unwrap_err();
        assert!(wrong.to_string().contains("latent.dim"), "{wrong}");
    }

    #[test]
    fn a_setting_that_is_there_twice_is_refused_however_it_is_written() {
        let load = |changes: &[String]| Recipe::load("dcgan28", changes);
        for twice in ["lr=1e-4,1e-4", "lr=1e-4,2e-4,1.0e-4", "lr=0.0001,1e-4"] {
            let error = settings(&[axis(twice)], 1, load).unwrap_err();
            let said = error.to_string();
            assert!(said.contains("same recipe as lr=") && said.contains("once"), "{twice}: {said}");
        }
        for idle in ["train.images=1000,2000", "name=a,b", "data.default=glyphs,mnist", "memory=normal,low"] {
            let said = settings(&[axis(idle)], 1, load).unwrap_err().to_string();
            assert!(said.contains("trains as") && said.contains("leave the key out"), "{idle}: {said}");
        }
        // What an automatic strength comes to is the same as the number written out.
        let auto = Recipe::load("r3-28", &["gamma=auto".into()]).unwrap();
        let mut named = auto.clone();
        named.about = "in other words".into();
        assert_eq!(fingerprint("a", "b", &auto), fingerprint("a", "b", &named.resolved()));
        assert_ne!(fingerprint("a", "b", &auto), fingerprint("a", "c", &auto));
        let seeded = |seed| Recipe::load("dcgan28", &[format!("train.images={seed}")]).unwrap();
        assert_ne!(fingerprint("a", "b", &seeded(64)), fingerprint("a", "b", &seeded(128)));
    }
}
