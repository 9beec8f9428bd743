//! What a data specification can name. A source is one file in `sources/` and one line in [`SOURCES`].

use crate::{
    dataset::Dataset,
    error::DataError,
    sources,
    spec::Spec,
    subset::{self, PARAMETERS},
};
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
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// Chooses the draw of an embedded set. Files do not depend on it.
    pub seed: u64,
    /// The part to open. A file named itself is opened whatever this says.
    pub split: Split,
    /// `[height, width, channels]` that the reader of the set needs: pictures of mixed sizes are converted to it unless
    /// the specification says otherwise. Sets of one size are what they are.
    pub shape: Option<[usize; 3]>,
    /// Called now and then, with the files read and those there are, while many files are read.
    pub progress: Option<fn(u64, u64)>,
}

impl OpenOptions {
    /// The same options for the reader of items of `shape`; a shape that is not that of images asks for nothing.
    pub fn for_shape(self, shape: &[usize]) -> Self {
        Self { shape: shape.try_into().ok(), ..self }
    }
}

/// A kind of data.
pub trait Source: Sync {
    /// Its unique name.
    fn name(&self) -> &'static str;
    /// One or two sentences for help texts.
    fn doc(&self) -> &'static str;
    /// A specification that it recognizes.
    fn example(&self) -> &'static str;
    /// The parameters of its own that it takes after a `?`, each with its meaning.
    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
    /// Whether its name is itself a specification, rather than the name of a file format.
    fn embedded(&self) -> bool;
    /// Whether `spec` is for this source. Sources are asked in the order of [`SOURCES`].
    fn recognizes(&self, spec: &Spec<'_>) -> bool;
    /// Opens and checks the whole set; the parameters are known ones.
    ///
    /// # Errors
    /// See [`DataError`].
    fn open(&self, spec: &Spec<'_>, options: &OpenOptions) -> Result<Dataset, DataError>;
}

/// Every source. Embedded names come before files, so that no file can hide one; IDX files come last, since a path of
/// which nothing is known is answered as theirs.
pub const SOURCES: &[&dyn Source] = &[
    &sources::Glyphs,
    &sources::Ring8,
    &sources::Grid25,
    &sources::Stacked,
    &sources::Cifar,
    &sources::Pictures,
    &sources::Idx,
];

/// Opens the set that `spec` names: a path, or an embedded set such as `glyphs` or `synthetic:ring8?sigma=.05`; of
/// every one, a part can be chosen ([`PARAMETERS`]).
///
/// # Errors
/// [`DataError::UnknownSpec`] with the nearest name, or what the source that recognizes `spec` finds wrong.
pub fn open(spec: &str, options: &OpenOptions) -> Result<Dataset, DataError> {
    let parsed = Spec::parse(spec)?;
    let Some(source) = SOURCES.iter().find(|source| source.recognizes(&parsed)) else {
        return Err(unknown(spec));
    };
    parsed.check(&[source.parameters(), PARAMETERS].concat())?;
    subset::apply(source.open(&parsed, options)?, &parsed)
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
            let example = Spec::parse(source.example()).unwrap();
            let first = SOURCES.iter().find(|other| other.recognizes(&example));
            assert_eq!(first.map(|other| other.name()), Some(source.name()), "its example reaches it");
            let named = Spec::parse(source.name()).unwrap();
            assert_eq!(source.embedded(), source.recognizes(&named), "{}", source.name());
            if source.embedded() {
                let set = source.open(&example, &OpenOptions::default()).expect("embedded sets open");
                let mut items = vec![f32::NAN; 16 * set.elements()];
                set.fill(&(0..16).collect::<Vec<_>>(), &mut items, None).expect("and serve items");
                assert!(items.iter().all(|x| x.is_finite()));
            }
            let all = [source.parameters(), PARAMETERS].concat();
            assert!(all.iter().all(|(key, meaning)| !key.is_empty() && !meaning.is_empty()));
            let keys: HashSet<_> = all.iter().map(|(key, _)| key).collect();
            assert_eq!(keys.len(), all.len(), "{}: no parameter hides another", source.name());
            assert!(example.check(&all).is_ok(), "{}", source.name());
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
