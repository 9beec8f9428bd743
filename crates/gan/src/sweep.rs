//! Comparing settings fairly: every combination of some values of a recipe's keys, over the same seeds, each run with the
//! same budget, and what came of them with intervals.

use crate::error::Error;
use crate::recipe::{Recipe, RecipeError};
use ganymede_metrics::stats::{Interval, student};
use serde::{Deserialize, Serialize};

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

/// Every combination of the axes' values, the last axis fastest.
///
/// # Errors
/// More than [`MAX_RUNS`] runs with so many seeds, the same key twice, or a combination that is no recipe; `load` makes one of
/// its changes.
pub fn settings(
    axes: &[Axis],
    seeds: usize,
    load: impl Fn(&[String]) -> Result<Recipe, RecipeError>,
) -> Result<Vec<Setting>, RecipeError> {
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
    for setting in &settings {
        load(&setting.changes).and_then(|recipe| recipe.networks().map(drop)).map_err(|error| {
            RecipeError { at: format!("{} ({})", error.at, setting.label()), message: error.message }
        })?;
    }
    Ok(settings)
}

/// BLAKE3 sum of what determines a run beside its seed and budget.
pub fn fingerprint(data: &str, data_hash: &str, recipe: &Recipe) -> String {
    let mut hash = blake3::Hasher::new();
    for part in [data, data_hash, &recipe.to_toml()] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().to_hex().to_string()
}

/// A number that a run is compared by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Its name, with how it was made where that is not one way alone.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Whether less is better; `None` where it only informs.
    pub less_is_better: Option<bool>,
}

impl Score {
    /// One that is better when it is less (true) or more.
    pub fn new(name: impl Into<String>, value: f64, less_is_better: bool) -> Self {
        Self { name: name.into(), value, less_is_better: Some(less_is_better) }
    }

    /// One that only informs.
    pub fn note(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, less_is_better: None }
    }
}

/// What came of one run; a line of the sweep's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which setting.
    pub setting: Setting,
    /// Its seed.
    pub seed: u64,
    /// Its budget, e.g. `5 minutes`.
    pub budget: String,
    /// BLAKE3 sum of the recipe as it was trained, so that a changed recipe is trained again.
    pub recipe: String,
    /// Real images shown.
    pub images: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Its scores; none where it diverged.
    pub scores: Vec<Score>,
    /// Why it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<String>,
}

/// Confidence of the intervals.
const LEVEL: f64 = 0.95;

/// A score over the seeds of one setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The mean, with the interval of Student's t at 95 % where there are two seeds or more.
    pub mean: Interval,
    /// How many seeds gave a value.
    pub seeds: usize,
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which setting.
    pub setting: Setting,
    /// By score, as [`Table::scores`] has them; `None` where no run has one.
    pub cells: Vec<Option<Cell>>,
    /// Runs that diverged.
    pub diverged: usize,
    /// Mean of the images shown.
    pub images: f64,
}

/// What a sweep found.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Names of the scores, and whether less is better.
    pub scores: Vec<(String, Option<bool>)>,
    /// A row a setting.
    pub rows: Vec<Row>,
}

impl Table {
    /// Of the outcomes that exist, in the order of `settings`.
    ///
    /// # Errors
    /// A score that is not finite.
    pub fn new(settings: &[Setting], outcomes: &[Outcome]) -> Result<Self, Error> {
        let mut scores: Vec<(String, Option<bool>)> = Vec::new();
        for score in outcomes.iter().flat_map(|o| &o.scores) {
            if scores.iter().all(|(name, _)| *name != score.name) {
                scores.push((score.name.clone(), score.less_is_better));
            }
        }
        let mut rows = Vec::new();
        for setting in settings {
            let own: Vec<&Outcome> = outcomes.iter().filter(|o| o.setting == *setting).collect();
            let mut cells = Vec::new();
            for (name, _) in &scores {
                let values: Vec<f64> = own
                    .iter()
                    .filter_map(|o| o.scores.iter().find(|s| s.name == *name).map(|s| s.value))
                    .collect();
                cells.push(match values.len() {
                    0 => None,
                    1 => {
                        let mean = Interval { estimate: values[0], low: values[0], high: values[0] };
                        Some(Cell { mean, seeds: 1 })
                    }
                    seeds => Some(Cell { mean: student(&values, LEVEL)?, seeds }),
                });
            }
            let images = own.iter().map(|o| o.images as f64).sum::<f64>() / own.len().max(1) as f64;
            let diverged = own.iter().filter(|o| o.diverged.is_some()).count();
            rows.push(Row { setting: setting.clone(), cells, diverged, images });
        }
        Ok(Self { scores, rows })
    }

    /// As Markdown: mean and half the width of its interval; the best mean of each score in bold.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| setting | images |");
        for (name, less) in &self.scores {
            let arrow = match less {
                Some(true) => " (less is better)",
                Some(false) => " (more is better)",
                None => "",
            };
            text.push_str(&format!(" {name}{arrow} |"));
        }
        let diverged = self.rows.iter().any(|row| row.diverged > 0);
        if diverged {
            text.push_str(" diverged |");
        }
        text.push_str(&format!("\n|---|---|{}", "---|".repeat(self.scores.len() + usize::from(diverged))));
        for row in &self.rows {
            let label = row.setting.label().replace('|', "\\|");
            text.push_str(&format!("\n| {label} | {:.0} |", row.images));
            for (i, cell) in row.cells.iter().enumerate() {
                let shown = cell.as_ref().map_or("-".into(), |cell| {
                    let half = (cell.mean.high - cell.mean.low) / 2.0;
                    let mean = rounded(cell.mean.estimate);
                    let mean = if self.is_best(i, cell) { format!("**{mean}**") } else { mean };
                    if cell.seeds > 1 { format!("{mean} ± {}", rounded(half)) } else { mean }
                });
                text.push_str(&format!(" {shown} |"));
            }
            if diverged {
                text.push_str(&format!(" {} |", row.diverged));
            }
        }
        text.push('\n');
        text
    }

    fn is_best(&self, score: usize, cell: &Cell) -> bool {
        let Some(less) = self.scores[score].1 else { return false };
        let others = self.rows.iter().filter_map(|row| row.cells[score].as_ref());
        self.rows.len() > 1
            && others.into_iter().all(|other| {
                let (mine, its) = (cell.mean.estimate, other.mean.estimate);
                if less { mine <= its } else { mine >= its }
            })
    }
}

/// Four significant digits.
fn rounded(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if digits < 0 { format!("{value:.0}") } else { format!("{value:.*}", digits.min(8) as usize) }
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
        assert_eq!(all[1].changes, ["lr=1e-4", "train.batch=32"]);
        assert_eq!(all[1].folder(1), "02-lr-1e-4-train.batch-32");
        assert_eq!(settings(&[], 3, load).unwrap()[0].label(), "as it is");
        let twice = settings(&[axis("lr=1e-4"), axis("lr=2e-4")], 1, load).unwrap_err();
        assert!(twice.message.contains("twice"), "{twice}");
        assert!(settings(&axes, 2000, load).unwrap_err().message.contains("12000"));
        let wrong = settings(&[axis("train.batch=16"), axis("latent.dim=8,0")], 1, load).unwrap_err();
        assert!(wrong.to_string().contains("latent.dim"), "{wrong}");
    }

    #[test]
    fn the_table_has_means_with_intervals_and_marks_the_best() {
        let setting = |value: &str| Setting { changes: vec![format!("lr={value}")] };
        let outcome = |value: &str, seed, score: Option<f64>| Outcome {
            setting: setting(value),
            seed,
            budget: "100 images".into(),
            recipe: String::new(),
            images: 100,
            seconds: 1.0,
            scores: score.into_iter().map(|s| Score::new("distance", s, true)).collect(),
            diverged: score.is_none().then(|| "NaN".into()),
        };
        let outcomes = [
            outcome("1", 0, Some(4.0)),
            outcome("1", 1, Some(5.0)),
            outcome("1", 2, Some(6.0)),
            outcome("2", 0, Some(3.5)),
            outcome("2", 1, None),
            outcome("2", 2, Some(3.0)),
        ];
        let table = Table::new(&[setting("1"), setting("2")], &outcomes).unwrap();
        let first = table.rows[0].cells[0].as_ref().unwrap();
        // t at 97.5 % with two degrees of freedom is 4.302653, and the standard error 1 / sqrt 3.
        assert!((first.mean.high - 5.0 - 4.302_652_73 / 3f64.sqrt()).abs() < 1e-6, "{first:?}");
        assert_eq!((table.rows[1].diverged, table.rows[1].cells[0].as_ref().unwrap().seeds), (1, 2));
        let text = table.markdown();
        assert!(text.contains("| lr=1 | 100 | 5.000 ± 2.484 | 0 |"), "{text}");
        assert!(text.contains("| **3.250** ± 3.177 | 1 |") || text.contains("**3.250** ± 3.177"), "{text}");
    }
}
