//! A part of a data set.

use clap::Args;
use ganymede_data::with_parameter;

/// What part of a data set is used. Each becomes a parameter of DATA, so that a run remembers it.
#[derive(Debug, Default, Args)]
pub struct Selection {
    /// N items alone: a fixed random choice in which each class keeps its share, the same for every seed, and with all of
    /// the choice for a smaller N in it; of an endless set the first N. The same as `DATA?limit=N`.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// These classes alone, by name or number with commas between, e.g. 0,3,7 or cat,dog; they are numbered anew in the
    /// order of the set. The same as `DATA?classes=LIST`.
    #[arg(long, value_name = "LIST")]
    pub classes: Option<String>,
    /// Leave out pictures that cannot be read, and list them, instead of refusing the folder. The same as
    /// `DATA?skip-bad`.
    #[arg(long)]
    pub skip_bad: bool,
}

impl Selection {
    /// The parameters that are asked for, as key and value.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let limit = self.limit.map(|n| ("limit", n.to_string()));
        let classes = self.classes.clone().map(|list| ("classes", list));
        let skip_bad = self.skip_bad.then(|| ("skip-bad", String::new()));
        limit.into_iter().chain(classes).chain(skip_bad).collect()
    }

    /// Whether anything is asked for.
    pub fn is_given(&self) -> bool {
        !self.parameters().is_empty()
    }

    /// The specification of that part of the set `data`.
    pub fn of(&self, data: &str) -> String {
        let add = |spec: String, (key, value): (&str, String)| with_parameter(&spec, key, &value);
        self.parameters().into_iter().fold(data.to_string(), add)
    }
}
