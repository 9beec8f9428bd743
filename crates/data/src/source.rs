//! What a data specification can name. A source is one file in `sources/` and one line in [`SOURCES`].

use crate::{dataset::Dataset, error::DataError, sources};
use ganymede_nn::error::nearest;

/// Which part of a set to open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// The part to train on.
    #[default]
    Train,
    /// The part held out (`t10k` files; for embedded sets an independent draw).
    Test,
}

/// How to open a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Chooses the draw of an embedded set. Files do not depend on it.
    pub seed: u64,
    /// The part to open. A file named itself is opened whatever this says.
    pub split: Split,
}

/// A kind of data.
pub trait Source: Sync {
    /// Its unique name.
    fn name(&self) -> &'static str;
    /// One or two sentences for help texts.
    fn doc(&self) -> &'static str;
    /// A specification that it recognizes.
    fn example(&self) -> &'static str;
    /// The parameters it takes after a `?`, each with its meaning.
    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
    /// Whether its name is itself a specification, rather than the name of a file format.
    fn embedded(&self) -> bool;
    /// Whether `spec` is for this source. Sources are asked in the order of [`SOURCES`].
    fn recognizes(&self, spec: &str) -> bool;
    /// Opens and checks the set.
    ///
    /// # Errors
    /// See [`DataError`].
    fn open(&self, spec: &str, options: &OpenOptions) -> Result<Dataset, DataError>;
}

/// Every source. Embedded names come before files, so that no file can hide one.
pub const SOURCES: &[&dyn Source] = &[&sources::Glyphs, &sources::Ring8, &sources::Grid25, &sources::Idx];

/// Opens the set that `spec` names: a path, or an embedded set such as `glyphs` or `synthetic:ring8?sigma=.05`.
///
/// # Errors
/// [`DataError::UnknownSpec`] with the nearest name, or what the source that recognizes `spec` finds wrong.
pub fn open(spec: &str, options: &OpenOptions) -> Result<Dataset, DataError> {
    match SOURCES.iter().find(|source| source.recognizes(spec)) {
        Some(source) => source.open(spec, options),
        None => Err(unknown(spec)),
    }
}

fn unknown(spec: &str) -> DataError {
    let names = || SOURCES.iter().filter(|source| source.embedded()).map(|source| source.name());
    let word = spec.split('?').next().unwrap_or(spec);
    // `ring8` alone is most like `synthetic:ring8`, which a comparison from the first letter would miss.
    let by_tail = names().filter_map(|name| Some((name.split_once(':')?.1, name)));
    let nearest = nearest(word, names()).map(str::to_owned).or_else(|| {
        let tail = nearest(word, by_tail.clone().map(|(tail, _)| tail))?;
        by_tail.clone().find(|&(t, _)| t == tail).map(|(_, name)| name.to_owned())
    });
    DataError::UnknownSpec { spec: spec.to_owned(), nearest, known: names().collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn registry_is_sound() {
        let names: HashSet<_> = SOURCES.iter().map(|source| source.name()).collect();
        assert_eq!(names.len(), SOURCES.len(), "names are unique");
        for source in SOURCES {
            assert!(source.doc().len() > 20 && source.doc().ends_with('.'), "{}", source.name());
            let first = SOURCES.iter().find(|other| other.recognizes(source.example()));
            assert_eq!(first.map(|other| other.name()), Some(source.name()), "its example reaches it");
            assert_eq!(source.embedded(), source.recognizes(source.name()), "{}", source.name());
            if source.embedded() {
                let set = source.open(source.example(), &OpenOptions::default()).expect("embedded sets open");
                let mut items = vec![f32::NAN; 16 * set.elements()];
                set.fill(&(0..16).collect::<Vec<_>>(), &mut items, None).expect("and serve items");
                assert!(items.iter().all(|x| x.is_finite()));
            }
            assert!(source.parameters().iter().all(|(key, meaning)| !key.is_empty() && !meaning.is_empty()));
        }
    }

    #[test]
    fn unknown_specs_name_the_nearest() {
        for (spec, expected) in [
            ("glyph", Some("glyphs")),
            ("synthetic:ring9", Some("synthetic:ring8")),
            ("synthetic:gird25?sigma=.1", Some("synthetic:grid25")),
            ("ring8", Some("synthetic:ring8")),
            ("grid", Some("synthetic:grid25")),
            ("zzz", None),
        ] {
            match open(spec, &OpenOptions::default()) {
                Err(DataError::UnknownSpec { nearest, known, .. }) => {
                    assert_eq!(nearest.as_deref(), expected, "{spec}");
                    assert_eq!(known, "glyphs, synthetic:ring8, synthetic:grid25");
                }
                other => panic!("{spec}: {other:?}"),
            }
        }
    }
}
