use crate::{
    bytes::ByteImages,
    dataset::{ContentHash, Dataset},
    error::DataError,
    idx::{IdxBytes, Role, read},
    source::{OpenOptions, Source, Split},
    spec::Spec,
};
use ganymede_nn::error::nearest;
use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};

/// Files in the format of MNIST.
pub struct Idx;

impl Source for Idx {
    fn name(&self) -> &'static str {
        "idx"
    }

    fn doc(&self) -> &'static str {
        "IDX files of grey images as MNIST and Fashion-MNIST have them, plain or .gz: an image file, or a folder with \
         train-images-idx3-ubyte and train-labels-idx1-ubyte."
    }

    fn example(&self) -> &'static str {
        "data/mnist/"
    }

    fn embedded(&self) -> bool {
        false
    }

    /// Whatever exists or is written like a path, so that a mistyped path is answered as a path.
    fn recognizes(&self, spec: &Spec<'_>) -> bool {
        let spec = spec.base();
        let path_like = spec.contains(['/', '\\'])
            || spec.starts_with('.')
            || [".gz", "ubyte"].iter().any(|end| spec.ends_with(end));
        path_like || (!spec.is_empty() && Path::new(spec).exists())
    }

    fn open(&self, spec: &Spec<'_>, options: &OpenOptions) -> Result<Dataset, DataError> {
        let path = Path::new(spec.base());
        let (images_path, labels_path) = match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => in_folder(path, options.split)?,
            Ok(_) => (path.to_owned(), labels_beside(path)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(DataError::Missing {
                    path: path.to_owned(),
                    looked_for:
                        "an IDX image file, a folder with one, a folder of pictures, or CIFAR's binary files"
                            .to_owned(),
                    nearest: nearest_existing(path),
                });
            }
            Err(source) => return Err(DataError::Read { path: path.to_owned(), source }),
        };
        let images = read(&images_path, Role::Images)?;
        let labels = match labels_path {
            None => None,
            Some(labels_path) => {
                let labels = read(&labels_path, Role::Labels)?;
                let counts = (u64::from(images.dims[0]), u64::from(labels.dims[0]));
                if counts.0 != counts.1 {
                    let (images, labels) = counts;
                    return Err(DataError::LabelCount { images_path, images, labels_path, labels });
                }
                Some(labels.bytes)
            }
        };
        Ok(dataset(spec.text(), images, labels))
    }
}

fn dataset(spec: &str, images: IdxBytes, labels: Option<Vec<u8>>) -> Dataset {
    let shape = [images.dims[1] as usize, images.dims[2] as usize, 1];
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"grey images");
    images.dims.iter().for_each(|dim| _ = hasher.update(&dim.to_le_bytes()));
    hasher.update(&images.bytes);
    if let Some(labels) = &labels {
        hasher.update(b"labels");
        hasher.update(labels);
    }
    let hash = ContentHash(hasher.finalize().into());
    let classes = labels.as_ref().and_then(|labels| labels.iter().max().copied());
    let labels = labels.map(|labels| labels.into_iter().map(u16::from).collect());
    let items = ByteImages { elements: shape.iter().product(), pixels: images.bytes, labels };
    let set = Dataset::new(spec, &shape, hash, Box::new(items));
    match classes {
        Some(last) => set.with_classes((0..=last).map(|class| class.to_string()).collect()),
        None => set,
    }
}

/// The names of a split's files, plain before gzip, as LeCun's page and as other copies write them.
fn names(split: Split, what: &str, axes: u32) -> [String; 4] {
    let split = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    [
        format!("{split}-{what}-idx{axes}-ubyte"),
        format!("{split}-{what}.idx{axes}-ubyte"),
        format!("{split}-{what}-idx{axes}-ubyte.gz"),
        format!("{split}-{what}.idx{axes}-ubyte.gz"),
    ]
}

/// Whether a file's name is that of an IDX file of images or labels.
pub(super) fn is_named_idx(name: &str) -> bool {
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    ["-idx3-ubyte", ".idx3-ubyte", "-idx1-ubyte", ".idx1-ubyte"].iter().any(|end| plain.ends_with(end))
}

fn in_folder(folder: &Path, split: Split) -> Result<(PathBuf, Option<PathBuf>), DataError> {
    let failed = |source| DataError::Read { path: folder.to_owned(), source };
    let mut held = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        held.push(entry.map_err(failed)?.file_name());
    }
    held.sort();
    let find = |wanted: &[String]| {
        wanted
            .iter()
            .find(|name| held.iter().any(|entry| entry == OsStr::new(name)))
            .map(|name| folder.join(name))
    };
    let wanted = names(split, "images", 3);
    let Some(images) = find(&wanted) else {
        return Err(DataError::Missing {
            path: folder.to_owned(),
            looked_for: format!(
                "{} or {}, plain or .gz; no pictures (.png, .jpg, .jpeg) and no binary files of CIFAR are there either",
                wanted[0], wanted[1]
            ),
            nearest: one_below(folder, &held, &wanted)
                .or_else(|| nearest_name(&wanted[0], &held).map(|name| folder.join(name))),
        });
    };
    Ok((images, find(&names(split, "labels", 1))))
}

/// The wanted file in a sub-folder: many copies keep the files in `raw` or beside other sets.
fn one_below(folder: &Path, held: &[OsString], wanted: &[String]) -> Option<PathBuf> {
    let folders = held.iter().map(|name| folder.join(name)).filter(|path| path.is_dir());
    folders.flat_map(|sub| wanted.iter().map(move |name| sub.join(name))).find(|path| path.is_file())
}

/// The label file that belongs to an image file by its name, if it exists.
fn labels_beside(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    if !name.contains("images") {
        return None;
    }
    let name = name.replace("images", "labels").replace("idx3", "idx1");
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    [name.clone(), plain.to_owned(), format!("{plain}.gz")]
        .into_iter()
        .map(|name| images.with_file_name(name))
        .find(|path| path.is_file())
}

/// Of what exists, the path most like a missing one: a similar name in its deepest existing folder, or that folder.
pub(super) fn nearest_existing(path: &Path) -> Option<PathBuf> {
    let mut missing = path;
    loop {
        let parent = missing.parent()?;
        let folder = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        if folder.is_dir() {
            let mut held: Vec<_> =
                fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name()).collect();
            held.sort();
            let wanted = missing.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
            return Some(nearest_name(&wanted, &held).map_or(folder.to_owned(), |name| folder.join(name)));
        }
        missing = parent;
    }
}

fn nearest_name(wanted: &str, held: &[OsString]) -> Option<String> {
    nearest(wanted, held.iter().filter_map(|name| name.to_str())).map(str::to_owned)
}
