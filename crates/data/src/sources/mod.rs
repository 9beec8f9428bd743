//! One source a file.

mod cifar;
mod glyphs;
mod grid25;
mod idx;
mod pictures;
mod ring8;
mod stacked;

pub use cifar::Cifar;
pub use glyphs::Glyphs;
pub use grid25::Grid25;
pub use idx::Idx;
pub use pictures::Pictures;
pub use ring8::Ring8;
pub use stacked::Stacked;
