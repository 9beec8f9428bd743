//! The parameters of an embedded set: `name?key=value&key=value`.

use crate::error::DataError;
use ganymede_nn::error::nearest;

/// A specification split into its keys and values, every key known.
pub(crate) struct Query<'a> {
    spec: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

/// The part of a specification before the `?`.
pub(crate) fn base(spec: &str) -> &str {
    spec.split('?').next().unwrap_or(spec)
}

impl<'a> Query<'a> {
    /// Reads the pairs after the `?`; each key at most once and among `known`.
    pub(crate) fn parse(spec: &'a str, known: &[(&str, &str)]) -> Result<Self, DataError> {
        let text = spec.split_once('?').map_or("", |(_, text)| text);
        let mut query = Self { spec, pairs: Vec::new() };
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if !known.iter().any(|(name, _)| *name == key) {
                return Err(query.unknown(key, known));
            }
            if query.value(key).is_some() {
                return Err(query.bad(key, value, "the key once"));
            }
            query.pairs.push((key, value));
        }
        Ok(query)
    }

    pub(crate) fn spec(&self) -> &'a str {
        self.spec
    }

    pub(crate) fn value(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// A finite number above 0, if the key is given.
    pub(crate) fn positive(&self, key: &str) -> Result<Option<f64>, DataError> {
        self.value(key).map(|value| self.positive_number(key, value)).transpose()
    }

    /// One finite number above 0, given as `text`.
    pub(crate) fn positive_number(&self, key: &str, text: &str) -> Result<f64, DataError> {
        match text.trim().parse::<f64>() {
            // The bound keeps sums and squares of such numbers finite.
            Ok(number) if number > 0.0 && (1e-100..1e100).contains(&number) => Ok(number),
            Ok(_) | Err(_) => Err(self.bad(key, text, "a number above 0, such as .05")),
        }
    }

    pub(crate) fn bad(&self, key: &str, value: &str, expected: impl Into<String>) -> DataError {
        DataError::BadParameter {
            spec: self.spec.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            expected: expected.into(),
        }
    }

    fn unknown(&self, key: &str, known: &[(&str, &str)]) -> DataError {
        let names = || known.iter().map(|(name, _)| *name);
        let listed =
            if known.is_empty() { "none".to_owned() } else { names().collect::<Vec<_>>().join(", ") };
        DataError::UnknownParameter {
            spec: self.spec.to_owned(),
            key: key.to_owned(),
            nearest: nearest(key, names()).map(str::to_owned),
            known: listed,
        }
    }
}
