//! What a recipe may set of a model.

use super::Model;
use crate::recipe::unknown;

/// An option of a model: a list of whole numbers.
pub struct OptionSpec {
    /// Key in the recipe's `options` table.
    pub key: &'static str,
    /// What it means.
    pub about: &'static str,
    /// Used where the recipe says nothing.
    pub default: &'static [usize],
}

/// Checked options of a model.
#[derive(Clone, Debug)]
pub struct Options {
    values: Vec<(&'static str, Vec<usize>)>,
}

impl Options {
    /// Fills in defaults; unknown keys and wrong values are errors.
    pub fn resolve(model: &dyn Model, table: &toml::Table) -> Result<Options, String> {
        let specs = model.options();
        let known: Vec<&str> = specs.iter().map(|s| s.key).collect();
        if let Some(key) = table.keys().find(|k| !known.contains(&k.as_str())) {
            return Err(unknown(&format!("option of model `{}`", model.name()), key, &known));
        }
        let mut values = Vec::new();
        for spec in specs {
            let value = match table.get(spec.key) {
                None => spec.default.to_vec(),
                Some(value) => {
                    let items = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                    let numbers: Option<Vec<usize>> = items
                        .iter()
                        .map(|v| {
                            v.as_integer().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= 1 << 16)
                        })
                        .collect();
                    numbers.ok_or(format!(
                        "option `{}` of model `{}` takes whole numbers up to 65536, got {value}",
                        spec.key,
                        model.name()
                    ))?
                }
            };
            values.push((spec.key, value));
        }
        let options = Options { values };
        model.check(&options)?;
        Ok(options)
    }

    /// The numbers of an option.
    pub fn list(&self, key: &str) -> &[usize] {
        self.values.iter().find(|(k, _)| *k == key).map_or(&[], |(_, v)| v)
    }

    /// The first number of an option, or 0.
    pub fn number(&self, key: &str) -> usize {
        self.list(key).first().copied().unwrap_or(0)
    }

    /// Checks that an option is one number.
    ///
    /// # Errors
    /// How many it is.
    pub(super) fn check_single(&self, key: &str) -> Result<(), String> {
        match self.list(key).len() {
            1 => Ok(()),
            n => Err(format!("`{key}` is one number, got {n}")),
        }
    }

    /// Checks that options are 0 or 1.
    ///
    /// # Errors
    /// The first that is not, and what it is.
    pub(super) fn check_flags(&self, keys: &[&str]) -> Result<(), String> {
        for key in keys {
            if !matches!(self.list(key), [0 | 1]) {
                return Err(format!("`{key}` is 0 (off) or 1 (on), got {:?}", self.list(key)));
            }
        }
        Ok(())
    }
}
