//! Folders of pictures as sets of images of one size.
//!
//! * [`list`]: which files make the set, and their classes;
//! * [`decode`]: a file's pixels, upright, and what was found in it;
//! * [`fit`]: any picture at the size and the channels of the set;
//! * [`load`]: all of it, on all threads;
//! * [`single`]: one picture by itself.

pub(crate) mod decode;
pub(crate) mod fit;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod single;
