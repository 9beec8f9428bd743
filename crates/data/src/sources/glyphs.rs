use crate::{
    dataset::Dataset,
    error::DataError,
    glyph,
    query::{Query, base},
    source::{OpenOptions, Source},
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

    fn recognizes(&self, spec: &str) -> bool {
        base(spec) == self.name()
    }

    fn open(&self, spec: &str, options: &OpenOptions) -> Result<Dataset, DataError> {
        Query::parse(spec, self.parameters())?;
        Ok(glyph::dataset(spec, options))
    }
}
