//! Training data: source -> [`Dataset`] -> [`Loader`] -> [`Batch`].
//!
//! * [`source`]: what a data specification can name, and [`open`];
//! * [`dataset`]: a set of items, finite or infinite, addressed by index;
//! * [`loader`]: shuffled batches, prepared on another thread, a pure function of seed and cursor;
//! * [`mod@inspect`]: what is in a set, in one table;
//! * [`glyph`]: the embedded handwritten-like digits;
//! * [`mixture`]: the two-dimensional Gaussian mixtures;
//! * [`idx`]: the file format of MNIST and Fashion-MNIST;
//! * [`spec`]: how a set and what is wanted of it are written;
//! * [`mod@subset`]: parts of a set.
//!
//! ```
//! use ganymede_data::{Loader, OpenOptions, open};
//! use std::sync::Arc;
//!
//! let set = Arc::new(open("glyphs", &OpenOptions::default())?);
//! let mut loader = Loader::new(set, 64, 7, 0)?;
//! let batch = loader.next_batch()?;
//! assert_eq!(batch.data.len(), 64 * 28 * 28);
//! assert_eq!(batch.cursor_after, 64);
//! # Ok::<(), ganymede_data::DataError>(())
//! ```

mod bytes;
pub mod dataset;
pub mod error;
pub mod glyph;
pub mod idx;
pub mod inspect;
pub mod loader;
pub mod mixture;
mod pictures;
mod random;
mod shuffle;
pub mod source;
mod sources;
pub mod spec;
pub mod subset;

pub use dataset::{ContentHash, Dataset, Items, Reading};
pub use error::DataError;
pub use inspect::{Summary, inspect};
pub use loader::{Batch, Loader, Sampling};
pub use mixture::MixtureSpec;
pub use pictures::list::{is_hidden, is_picture, is_read};
pub use pictures::single::read_picture;
pub use source::{OpenOptions, SOURCES, Source, Split, open};
pub use spec::{Spec, with_parameter};
