//! What sets two recipes apart.

use super::{Recipe, parse::leaves};

/// Keys that do not change what is trained.
const IGNORED: &[&str] = &["about", "run.", "train.memory"];

fn flat(recipe: &Recipe) -> Vec<(String, toml::Value)> {
    // A recipe is plain TOML data, so it always becomes a table.
    let table = toml::Value::Table(toml::Table::try_from(recipe).unwrap_or_default());
    let mut paths = Vec::new();
    leaves("", &table, &mut paths);
    let at = |path: &str| {
        path.split('.').try_fold(&table, |value, key| match value {
            toml::Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            other => other.get(key),
        })
    };
    paths
        .iter()
        .filter(|p| !IGNORED.iter().any(|i| p.starts_with(i)))
        .filter_map(|p| Some((p.clone(), at(p)?.clone())))
        .collect()
}

/// The first place where two lists part, else both values whole.
fn contrast(key: &str, this: &toml::Value, other: &toml::Value) -> String {
    if let (toml::Value::Array(a), toml::Value::Array(b)) = (this, other) {
        let show = |v: Option<&toml::Value>| v.map_or("nothing".to_string(), toml::Value::to_string);
        let at = a.iter().zip(b).position(|(x, y)| x != y).unwrap_or(a.len().min(b.len()));
        return format!("{key}, entry {}: {} against {}", at + 1, show(a.get(at)), show(b.get(at)));
    }
    format!("{key}: {this} against {other}")
}

impl Recipe {
    /// A line for each key in which this recipe (named first in each line) and another differ; what they say of
    /// themselves and of their runs is left out.
    pub fn differences(&self, other: &Recipe) -> Vec<String> {
        let (mine, theirs) = (flat(self), flat(other));
        let find = |list: &[(String, toml::Value)], key: &str| {
            list.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone())
        };
        let mut lines: Vec<String> = mine
            .iter()
            .filter_map(|(key, value)| match find(&theirs, key) {
                Some(found) if found == *value => None,
                Some(found) => Some(contrast(key, value, &found)),
                None => Some(format!("{key}: {value} against nothing")),
            })
            .collect();
        let added = theirs.iter().filter(|(key, _)| find(&mine, key).is_none());
        lines.extend(added.map(|(key, value)| format!("{key}: nothing against {value}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_agrees_with_itself_and_names_what_another_has() {
        let base = Recipe::builtin("r3-28").unwrap();
        let mut same = base.clone();
        same.about = "something else".into();
        assert!(base.differences(&same).is_empty());
        let read_back = Recipe::parse("test", &base.to_toml(), &[]).unwrap();
        assert!(base.differences(&read_back).is_empty());

        let mut changed = base.clone();
        changed.train.batch = 32;
        changed.generator.layers[1] = "layer_norm".into();
        changed.ema = None;
        let lines = base.differences(&changed);
        assert_eq!(lines[0], "train.batch: 64 against 32");
        assert!(
            lines.contains(&"generator.layers, entry 2: \"batch_norm\" against \"layer_norm\"".to_string())
        );
        assert!(lines.iter().any(|l| l.starts_with("ema.half_life: ") && l.ends_with("against nothing")));
        assert!(lines.iter().any(|l| l.starts_with("ema.ramp: ") && l.ends_with("against nothing")));
        assert!(lines.contains(&"ema.buffers: \"copy\" against nothing".to_string()));
        assert_eq!(lines.len(), 5, "{lines:?}");
    }
}
