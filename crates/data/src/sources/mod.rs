//! One source a file.

mod glyphs;
mod grid25;
mod idx;
mod ring8;

pub use glyphs::Glyphs;
pub use grid25::Grid25;
pub use idx::Idx;
pub use ring8::Ring8;
