//! The table that a sweep ends with.

use super::{Outcome, Setting};
use crate::error::Error;
use ganymede_metrics::stats::{Interval, student};

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
    /// Runs.
    pub runs: usize,
    /// Runs without scores: they diverged, or their samples could not be scored.
    pub failed: usize,
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
    /// Of each setting with the outcomes of its runs.
    ///
    /// # Errors
    /// A score that is not finite.
    pub fn new(settings: &[(Setting, Vec<Outcome>)]) -> Result<Self, Error> {
        let mut scores: Vec<(String, Option<bool>)> = Vec::new();
        for score in settings.iter().flat_map(|(_, outcomes)| outcomes).flat_map(|o| &o.scores) {
            if scores.iter().all(|(name, _)| *name != score.name) {
                scores.push((score.name.clone(), score.less_is_better));
            }
        }
        let mut rows = Vec::new();
        for (setting, own) in settings {
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
            let failed = own.iter().filter(|o| o.failure().is_some()).count();
            rows.push(Row { setting: setting.clone(), cells, runs: own.len(), failed, images });
        }
        Ok(Self { scores, rows })
    }

    /// As Markdown: mean and half the width of its interval, with the number of runs that it is over where others failed. The
    /// best mean of each score is in bold, among the settings of which every run has it: a mean over those that went well says
    /// too little of a setting.
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
        let failed = self.rows.iter().any(|row| row.failed > 0);
        if failed {
            text.push_str(" failed |");
        }
        text.push_str(&format!("\n|---|---|{}", "---|".repeat(self.scores.len() + usize::from(failed))));
        for row in &self.rows {
            let label = row.setting.label().replace('|', "\\|");
            text.push_str(&format!("\n| {label} | {:.0} |", row.images));
            for (i, cell) in row.cells.iter().enumerate() {
                let shown = cell.as_ref().map_or("-".into(), |cell| {
                    let half = (cell.mean.high - cell.mean.low) / 2.0;
                    let mean = rounded(cell.mean.estimate);
                    let mean = if self.is_best(i, row, cell) { format!("**{mean}**") } else { mean };
                    let mean = if cell.seeds > 1 { format!("{mean} ± {}", rounded(half)) } else { mean };
                    if cell.seeds < row.runs {
                        format!("{mean} ({} of {})", cell.seeds, row.runs)
                    } else {
                        mean
                    }
                });
                text.push_str(&format!(" {shown} |"));
            }
            if failed {
                text.push_str(&format!(" {} |", row.failed));
            }
        }
        text.push('\n');
        text
    }

    fn is_best(&self, score: usize, row: &Row, cell: &Cell) -> bool {
        let Some(less) = self.scores[score].1 else { return false };
        let whole = |row: &Row, cell: &Cell| row.failed == 0 && cell.seeds == row.runs;
        let rows = self.rows.iter().filter_map(|row| Some((row, row.cells[score].as_ref()?)));
        self.rows.len() > 1
            && whole(row, cell)
            && rows.filter(|(row, other)| whole(row, other)).all(|(_, other)| {
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
    use super::super::Score;
    use super::*;

    fn setting(value: &str) -> Setting {
        Setting { changes: vec![format!("lr={value}")] }
    }

    fn outcome(value: &str, seed: u64, score: Option<f64>) -> Outcome {
        Outcome {
            setting: setting(value),
            seed,
            budget: "100 images".into(),
            recipe: String::new(),
            precision: "f32".into(),
            run: String::new(),
            images: 100,
            seconds: 1.0,
            scoring: None,
            scores: score.into_iter().map(|s| Score::new("distance", s, true)).collect(),
            diverged: score.is_none().then(|| "NaN".into()),
            unscored: None,
        }
    }

    fn of(rows: &[(&str, [Option<f64>; 3])]) -> Table {
        let row = |(value, scores): &(&str, [Option<f64>; 3])| {
            let outcomes = (0..).zip(scores).map(|(seed, score)| outcome(value, seed, *score)).collect();
            (setting(value), outcomes)
        };
        Table::new(&rows.iter().map(row).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_table_has_means_with_intervals_and_marks_the_best() {
        let table = of(&[
            ("1", [Some(4.0), Some(5.0), Some(6.0)]),
            ("2", [Some(3.5), None, Some(3.0)]),
            ("3", [Some(7.0), Some(7.0), Some(7.0)]),
            ("4", [None, Some(1.0), None]),
            ("5", [None; 3]),
        ]);
        let first = table.rows[0].cells[0].as_ref().unwrap();
        // t at 97.5 % with two degrees of freedom is 4.302653, and the standard error 1 / sqrt 3.
        assert!((first.mean.high - 5.0 - 4.302_652_73 / 3f64.sqrt()).abs() < 1e-6, "{first:?}");
        assert_eq!((table.rows[1].failed, table.rows[1].cells[0].as_ref().unwrap().seeds), (1, 2));
        let text = table.markdown();
        let expected = "\
            | setting | images | distance (less is better) | failed |\n\
            |---|---|---|---|\n\
            | lr=1 | 100 | **5.000** ± 2.484 | 0 |\n\
            | lr=2 | 100 | 3.250 ± 3.177 (2 of 3) | 1 |\n\
            | lr=3 | 100 | 7.000 ± 0 | 0 |\n\
            | lr=4 | 100 | 1.000 (1 of 3) | 2 |\n\
            | lr=5 | 100 | - | 3 |\n";
        assert_eq!(text, expected, "survivors alone are not the best");
    }

    #[test]
    fn where_nothing_failed_nothing_is_said_of_it() {
        let text = of(&[("1", [Some(4.0); 3]), ("2", [Some(3.0); 3])]).markdown();
        assert!(text.contains("| lr=2 | 100 | **3.000** ± 0 |\n") && !text.contains("failed"), "{text}");
        assert!(text.contains("| lr=1 | 100 | 4.000 ± 0 |\n"), "{text}");
    }
}
