use crate::{
    dataset::Dataset,
    error::DataError,
    glyph,
    source::{OpenOptions, Source},
    spec::Spec,
};

/// The embedded digits.
pub struct Glyphs;

impl Source for Glyphs {
    fn name(&self) -> &'static str {
        "glyphs"
    }

    fn doc(&self) -> &'static str {
        "Embedded, endless, labelled: 28x28 grey digits drawn from strokes with random shape, slant and thickness."
    }

    fn example(&self) -> &'static str {
        "glyphs"
    }

    fn embedded(&self) -> bool {
        true
    }

    fn recognizes(&self, spec: &Spec<'_>) -> bool {
        spec.base() == self.name()
    }

    fn open(&self, spec: &Spec<'_>, options: &OpenOptions) -> Result<Dataset, DataError> {
        Ok(glyph::dataset(spec.text(), options))
    }
}
