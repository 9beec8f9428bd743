//! The known word nearest to a mistyped one.

/// The candidate most like `word` (Jaro-Winkler, which favours a common beginning), if one is alike at all.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), candidate))
        .filter(|&(likeness, _)| likeness >= 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_the_mistyped_word_and_nothing_for_noise() {
        assert_eq!(nearest("spcaing", ["sigma", "spacing", "weights"]), Some("spacing"));
        assert_eq!(nearest("GLYPH", ["glyphs", "idx"]), Some("glyphs"));
        assert_eq!(nearest("qqqq", ["sigma", "spacing", "weights"]), None);
    }
}
