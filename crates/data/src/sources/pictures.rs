use super::idx::is_named_idx;
use crate::{
    dataset::Dataset,
    error::DataError,
    pictures::{list::holds_pictures, load},
    source::{OpenOptions, Source},
    spec::Spec,
};
use std::{fs, path::Path};

/// A folder of pictures.
pub struct Pictures;

const PARAMETERS: &[(&str, &str)] = &[
    (
        "size",
        "side of the images, or WIDTHxHEIGHT (what the recipe expects; else the pictures' own; else 64)",
    ),
    ("channels", "1, 3 or 4 (what the recipe expects; else 3, and 1 where all pictures are grey)"),
    ("fit", "what becomes of another shape: `crop` the middle, `stretch`, or `pad` with black (crop)"),
    ("skip-bad", "leave out pictures that cannot be read, and list them"),
];

impl Source for Pictures {
    fn name(&self) -> &'static str {
        "pictures"
    }

    fn doc(&self) -> &'static str {
        "A folder of PNG and JPEG pictures of any sizes, brought to one; sub-folders are classes, in the order of their \
         names. Sub-folders `train` and `test` (or `val`) are parts."
    }

    fn example(&self) -> &'static str {
        "photos/?size=64"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        PARAMETERS
    }

    fn embedded(&self) -> bool {
        false
    }

    /// A folder with pictures, here or below, and without IDX files; or what is given parameters that only pictures take.
    fn recognizes(&self, spec: &Spec<'_>) -> bool {
        let path = Path::new(spec.base());
        if !path.is_dir() {
            return !path.exists() && spec.gives(PARAMETERS);
        }
        let held = fs::read_dir(path).into_iter().flatten().flatten();
        let idx =
            held.filter_map(|entry| entry.file_name().into_string().ok()).any(|name| is_named_idx(&name));
        !idx && (holds_pictures(path) || spec.gives(PARAMETERS))
    }

    fn open(&self, spec: &Spec<'_>, options: &OpenOptions) -> Result<Dataset, DataError> {
        let path = Path::new(spec.base());
        if !path.exists() && fs::symlink_metadata(path).is_err() {
            return Err(DataError::Missing {
                path: path.to_owned(),
                looked_for: "a folder of pictures".to_owned(),
                nearest: super::idx::nearest_existing(path),
            });
        }
        load::open(spec, options)
    }
}
