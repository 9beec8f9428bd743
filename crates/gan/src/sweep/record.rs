//! What came of the runs of a sweep, as its record has it, and which of it can be used again.

use super::Setting;
use serde::{Deserialize, Serialize};

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

/// How the samples of a run were scored; none of it changes the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scoring {
    /// Metrics by name, in order.
    pub metrics: Vec<String>,
    /// Samples, where that was said.
    pub n: Option<u64>,
    /// BLAKE3 sum of the extractor that they were seen through, where there was one.
    pub extractor: Option<String>,
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
    /// [`fingerprint`](super::fingerprint) of the recipe as it was trained, so that a changed recipe is trained again.
    pub recipe: String,
    /// The precision that the machine computed in.
    pub precision: String,
    /// The run's folder, from the sweep's on.
    pub run: String,
    /// Real images shown.
    pub images: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// How its samples were scored; none of a mixture, which has scores of its own.
    pub scoring: Option<Scoring>,
    /// Its scores; none where it failed.
    pub scores: Vec<Score>,
    /// Why training ended without a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<String>,
    /// Why its samples could not be scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unscored: Option<String>,
}

impl Outcome {
    /// Why it has no scores, if it has none.
    pub fn failure(&self) -> Option<&str> {
        self.diverged.as_deref().or(self.unscored.as_deref())
    }

    /// With scores; one that is not finite leaves it without any, and is the reason.
    pub fn scored(mut self, scores: Vec<Score>) -> Self {
        match scores.iter().find(|score| !score.value.is_finite()) {
            Some(score) => self.unscored = Some(format!("{} is {}", score.name, score.value)),
            None => self.scores = scores,
        }
        self
    }
}

/// What a sweep looks for in its record.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The run's seed.
    pub seed: u64,
    /// Its budget.
    pub budget: &'a str,
    /// The fingerprint of its recipe.
    pub recipe: &'a str,
    /// The precision that the machine computes in.
    pub precision: &'a str,
    /// How it is to be scored.
    pub scoring: Option<&'a Scoring>,
}

/// What a record has of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found<'a> {
    /// The run, scored as is wanted.
    Scored(&'a Outcome),
    /// The run, scored otherwise.
    Trained(&'a Outcome),
    /// Nothing.
    Missing,
}

/// Looks for a run in a record; of several lines the last counts.
pub fn find<'a>(record: &'a [Outcome], wanted: &Wanted<'_>) -> Found<'a> {
    let same = |o: &&Outcome| {
        o.recipe == wanted.recipe
            && o.seed == wanted.seed
            && o.budget == wanted.budget
            && o.precision == wanted.precision
    };
    // A run that diverged has nothing to score in any way.
    let done = |o: &&Outcome| o.diverged.is_some() || o.scoring.as_ref() == wanted.scoring;
    let runs = || record.iter().rev().filter(same);
    runs()
        .find(done)
        .map(Found::Scored)
        .or_else(|| runs().next().map(Found::Trained))
        .unwrap_or(Found::Missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(scoring: Scoring) -> Outcome {
        Outcome {
            setting: Setting { changes: vec!["lr=1".into()] },
            seed: 1,
            budget: "100 images".into(),
            recipe: "sum".into(),
            precision: "f32".into(),
            run: "01-lr-1/seed-1".into(),
            images: 100,
            seconds: 1.0,
            scoring: Some(scoring),
            scores: Vec::new(),
            diverged: None,
            unscored: None,
        }
    }

    #[test]
    fn scores_are_used_again_only_where_they_were_made_alike() {
        let frechet = Scoring { metrics: vec!["frechet".into()], n: None, extractor: Some("a".into()) };
        let more = Scoring { metrics: vec!["frechet".into(), "classes".into()], ..frechet.clone() };
        let fewer = Scoring { n: Some(50), ..frechet.clone() };
        let other = Scoring { extractor: Some("b".into()), ..frechet.clone() };
        let record = [outcome(frechet.clone()), outcome(fewer.clone())];
        let wanted =
            |scoring| Wanted { seed: 1, budget: "100 images", recipe: "sum", precision: "f32", scoring };
        assert_eq!(find(&record, &wanted(Some(&frechet))), Found::Scored(&record[0]));
        assert_eq!(find(&record, &wanted(Some(&fewer))), Found::Scored(&record[1]));
        for scoring in [&more, &other] {
            assert_eq!(find(&record, &wanted(Some(scoring))), Found::Trained(&record[1]), "{scoring:?}");
        }
        // Another run is another run, however it was scored.
        for wanted in [
            Wanted { seed: 2, ..wanted(Some(&frechet)) },
            Wanted { budget: "200 images", ..wanted(Some(&frechet)) },
            Wanted { recipe: "another", ..wanted(Some(&frechet)) },
            Wanted { precision: "bf16", ..wanted(Some(&frechet)) },
        ] {
            assert_eq!(find(&record, &wanted), Found::Missing, "{wanted:?}");
        }
        let diverged = [Outcome { diverged: Some("NaN".into()), ..outcome(frechet.clone()) }];
        assert_eq!(find(&diverged, &wanted(Some(&more))), Found::Scored(&diverged[0]));
    }

    #[test]
    fn a_score_that_is_not_finite_leaves_a_reason_and_can_be_read_back() {
        let scoring = Scoring { metrics: Vec::new(), n: None, extractor: None };
        let scores = |kl| vec![Score::new("modes", 3.0, false), Score::new("reverse KL", kl, true)];
        let fine = outcome(scoring.clone()).scored(scores(0.5));
        assert_eq!((fine.scores.len(), fine.failure()), (2, None));
        let wrong = outcome(scoring).scored(scores(f64::INFINITY));
        assert_eq!((wrong.scores.len(), wrong.failure()), (0, Some("reverse KL is inf")));
        let line = serde_json::to_string(&wrong).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&line).unwrap(), wrong);
    }
}
