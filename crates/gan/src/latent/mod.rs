//! Looking into a generator through its latents: sheets, walks and directions. One file a tool; each makes the codes of
//! the samples it wants to see, a pure function of the seed, and [`Synthesizer::samples`] makes the samples.

mod classes;
mod codes;
mod directions;
mod interpolation;
mod mixing;
mod synthesizer;
mod truncation;

pub use classes::class_sheet;
pub use codes::{Codes, Space};
pub(crate) use directions::first_contractions;
pub use directions::{Direction, direction_sheet, directions};
pub use interpolation::{Way, interpolation_sheet, lerp, slerp, walk};
pub use mixing::{Mix, mixing_sheet};
pub use synthesizer::Synthesizer;
pub use truncation::{default_truncations, truncation_sheet};

/// Codes of a sheet of samples, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// One a cell.
    pub codes: Codes,
    /// Cells of a row.
    pub columns: usize,
}
