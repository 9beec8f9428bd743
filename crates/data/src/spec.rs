//! What a set is opened from, as text: `base?key=value&key=value`.

use crate::error::DataError;
use ganymede_nn::error::nearest;
use std::path::Path;

/// A specification split into its base (a name or a path) and what follows the `?`.
///
/// The `?` is the last one that no `)` follows, so that a set within another keeps its own:
/// `stacked:(mnist/?classes=0,1)?length=5000`. Where the whole text is the path of something that exists, it has no
/// parameters.
#[derive(Clone, Debug)]
pub struct Spec<'a> {
    text: &'a str,
    base: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

/// Where the parameters begin: at the `?`.
fn query_at(text: &str) -> Option<usize> {
    let tail = text.rfind(')').map_or(0, |at| at + 1);
    let at = tail + text[tail..].rfind('?')?;
    (!Path::new(text).exists()).then_some(at)
}

/// Characters that have a meaning in a specification.
const RESERVED: [char; 5] = ['%', '&', '?', '(', ')'];

/// The specification `text` with a parameter added; reserved characters of its value are written `%XX`. A key without
/// a value is a flag.
///
/// ```
/// use ganymede_data::spec::with_parameter;
/// let spec = with_parameter("photos/?size=64", "classes", "cats & dogs");
/// assert_eq!(spec, "photos/?size=64&classes=cats %26 dogs");
/// assert_eq!(with_parameter("photos/", "skip-bad", ""), "photos/?skip-bad");
/// ```
pub fn with_parameter(text: &str, key: &str, value: &str) -> String {
    let mark = if query_at(text).is_some() { '&' } else { '?' };
    let equals = if value.is_empty() { "" } else { "=" };
    let mut out = format!("{text}{mark}{key}{equals}");
    for c in value.chars() {
        if RESERVED.contains(&c) {
            out.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// A value with its `%XX` put back. What is not followed by two hexadecimal digits stays as it is.
pub(crate) fn decoded(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let code = pair.filter(|p| p.bytes().all(|b| b.is_ascii_hexdigit()));
        match code.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl<'a> Spec<'a> {
    /// Splits a text.
    ///
    /// # Errors
    /// A key that is given twice.
    pub fn parse(text: &'a str) -> Result<Self, DataError> {
        let (base, query) = match query_at(text) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, ""),
        };
        let mut spec = Self { text, base, pairs: Vec::new() };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if spec.value(key).is_some() {
                return Err(spec.bad(key, value, "the key once"));
            }
            spec.pairs.push((key, value));
        }
        Ok(spec)
    }

    /// The whole text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The part before the `?`.
    pub fn base(&self) -> &'a str {
        self.base
    }

    /// Whether it gives one of these keys.
    pub(crate) fn gives(&self, keys: &[(&str, &str)]) -> bool {
        keys.iter().any(|(key, _)| self.value(key).is_some())
    }

    /// Refuses keys that are not among `known`.
    pub(crate) fn check(&self, known: &[(&str, &str)]) -> Result<(), DataError> {
        match self.pairs.iter().find(|(key, _)| !known.iter().any(|(name, _)| name == key)) {
            Some((key, _)) => Err(self.unknown(key, known)),
            None => Ok(()),
        }
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

    /// A whole number from 1 to `most`, if the key is given.
    pub(crate) fn count(&self, key: &str, most: u64) -> Result<Option<u64>, DataError> {
        let Some(text) = self.value(key) else { return Ok(None) };
        match text.trim().parse::<u64>() {
            Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
            Ok(_) | Err(_) => Err(self.bad(key, text, format!("a whole number from 1 to {most}"))),
        }
    }

    /// Whether a key that takes no value is given.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, DataError> {
        match self.value(key) {
            None => Ok(false),
            Some("") => Ok(true),
            Some(value) => Err(self.bad(key, value, "the key alone, without a value")),
        }
    }

    pub(crate) fn bad(&self, key: &str, value: &str, expected: impl Into<String>) -> DataError {
        DataError::BadParameter {
            spec: self.text.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            expected: expected.into(),
        }
    }

    fn unknown(&self, key: &str, known: &[(&str, &str)]) -> DataError {
        let names = || known.iter().map(|(name, _)| *name);
        DataError::UnknownParameter {
            spec: self.text.to_owned(),
            key: key.to_owned(),
            nearest: nearest(key, names()).map(str::to_owned),
            known: names().collect::<Vec<_>>().join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_open_question_mark_begins_the_parameters() {
        for (text, base, classes) in [
            ("mnist/", "mnist/", None),
            ("mnist/?classes=0,1&limit=5", "mnist/", Some("0,1")),
            ("stacked:(mnist/?classes=0,1)", "stacked:(mnist/?classes=0,1)", None),
            ("stacked:(mnist/?classes=0,1)?classes=2", "stacked:(mnist/?classes=0,1)", Some("2")),
            ("what?/?classes=3", "what?/", Some("3")),
            ("photos (1)/?classes=3", "photos (1)/", Some("3")),
            ("?classes=3", "", Some("3")),
            ("", "", None),
        ] {
            let spec = Spec::parse(text).unwrap();
            assert_eq!((spec.base(), spec.value("classes")), (base, classes), "{text}");
        }
    }

    #[test]
    fn a_path_that_exists_has_no_parameters() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a?limit=3");
        let text = odd.to_str().unwrap();
        assert_eq!(Spec::parse(text).unwrap().value("limit"), Some("3"));
        std::fs::create_dir(&odd).unwrap();
        assert_eq!(Spec::parse(text).unwrap().base(), text);
        let limited = with_parameter(text, "limit", "7");
        let spec = Spec::parse(&limited).unwrap();
        assert_eq!((spec.base(), spec.value("limit")), (text, Some("7")));
    }

    #[test]
    fn values_survive_being_added() {
        for value in ["a & b", "100%", "50%41", "why?", "(x)", "ünï", "a,b"] {
            let text = with_parameter("glyphs?limit=5", "classes", value);
            let spec = Spec::parse(&text).unwrap();
            assert_eq!(spec.base(), "glyphs");
            assert_eq!(decoded(spec.value("classes").unwrap()), value, "{text}");
        }
        assert_eq!(decoded("%4"), "%4");
        assert_eq!(decoded("%+1%zz%é"), "%+1%zz%é");
    }
}
