//! What a text that could not be read is answered with.

/// A word, option or schedule that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {message}")]
pub struct ParseError {
    /// What was expected, with its article, e.g. `a schedule`.
    pub what: &'static str,
    /// The text as given.
    pub text: String,
    /// What is wrong with it and what would be right.
    pub message: String,
}

impl ParseError {
    /// An error from its parts.
    pub fn new(what: &'static str, text: impl Into<String>, message: impl Into<String>) -> Self {
        Self { what, text: text.into(), message: message.into() }
    }
}

/// The known word that is closest to `word`, whatever the case of either, if it is close enough to be meant: by
/// Damerau-Levenshtein distance, the beginning of a word (three letters and more) counting as one letter away.
///
/// This is the one rule for layers, recipe keys, names of all kinds and data.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let distance = |known: &str| {
        let known = known.to_lowercase();
        let begins = lower.len() >= 3 && known.starts_with(&lower);
        if begins { 1 } else { strsim::damerau_levenshtein(&lower, &known) }
    };
    known
        .into_iter()
        .map(|k| (distance(k), k))
        // Beyond a third of the letters a suggestion would be a guess.
        .filter(|(distance, k)| *distance <= 1 + k.len().max(word.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

/// `did you mean ...?` with the nearest known word, or the list of what is known.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "none is known here".into(),
        None => format!("known: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        assert_eq!(nearest("dens", ["conv", "dense"]), Some("dense"));
        assert_eq!(nearest("Leaky_ReLU", ["relu", "leaky_relu"]), Some("leaky_relu"));
        assert_eq!(nearest("transformer", ["conv", "dense"]), None);
        assert_eq!(nearest("spcaing", ["sigma", "spacing", "weights"]), Some("spacing"));
        assert_eq!(nearest("glyph", ["Glyphs", "idx"]), Some("Glyphs"));
        assert_eq!(nearest("qqqq", ["sigma", "spacing", "weights"]), None);
        assert_eq!(suggestion("transformer", ["conv", "dense"]), "known: conv, dense");
    }
}
