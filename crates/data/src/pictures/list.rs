//! Which files of a folder make a set, and their classes.

use crate::{error::DataError, source::Split};
use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

/// Endings of pictures that are read.
const READ: [&str; 3] = ["png", "jpg", "jpeg"];

/// Endings of pictures of other formats: they are taken for part of the set, so that they are refused and not passed
/// over in silence.
const OTHERS: [&str; 13] =
    ["gif", "bmp", "webp", "tif", "tiff", "avif", "heic", "heif", "ico", "jfif", "jxl", "tga", "ppm"];

/// Names of sub-folders that are parts of a set and not its classes.
const TRAIN: [&str; 1] = ["train"];
const HELD_OUT: [&str; 4] = ["test", "val", "valid", "validation"];

/// Folders that are looked through for a first picture: below `train`, its classes.
const DEPTH: usize = 2;

/// The files of a set.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The files, class by class and by name within each, with the number of the class.
    pub files: Vec<(PathBuf, u16)>,
    /// The names of the classes in order; none where the pictures lie in the folder itself.
    pub classes: Option<Vec<String>>,
    /// The sub-folder that is the part asked for, where a set is kept in parts.
    pub part: Option<String>,
    /// Visible files that are no pictures by their names.
    pub ignored: u64,
}

/// What lies in a folder, by name; hidden entries are left out.
#[derive(Default)]
struct Held {
    pictures: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    ignored: u64,
}

fn ending_among(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().map(OsStr::to_ascii_lowercase);
    ending.is_some_and(|ending| endings.iter().any(|known| ending == *known))
}

/// Whether a file is a picture by its name, of the formats that are read.
pub fn is_read(path: &Path) -> bool {
    ending_among(path, &READ)
}

/// Whether a file is a picture by its name, of the formats that are read or of others.
pub fn is_picture(path: &Path) -> bool {
    is_read(path) || ending_among(path, &OTHERS)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Hidden files, and what archives of macOS leave beside the real folders.
pub fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX"
}

fn held(folder: &Path) -> Result<Held, DataError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| DataError::Read { path, source }
    };
    let mut held = Held::default();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        let path = entry.path();
        if is_hidden(&entry.file_name()) {
            continue;
        }
        let kind = entry.file_type().map_err(failed(&path))?;
        // What a link leads to counts; one that leads nowhere, or to itself, is an error and no smaller set.
        let folder = if kind.is_symlink() {
            fs::metadata(&path).map_err(failed(&path))?.is_dir()
        } else {
            kind.is_dir()
        };
        match (folder, is_picture(&path)) {
            (true, _) => held.folders.push(path),
            (false, true) => held.pictures.push(path),
            (false, false) => held.ignored += 1,
        }
    }
    held.pictures.sort();
    held.folders.sort();
    Ok(held)
}

/// Whether a folder, or one of those below it, holds a picture. What cannot be read is left to [`list`] to complain of.
pub(crate) fn holds_pictures(folder: &Path) -> bool {
    fn look(folder: &Path, depth: usize) -> bool {
        let Ok(held) = held(folder) else { return true };
        !held.pictures.is_empty() || (depth > 0 && held.folders.iter().any(|folder| look(folder, depth - 1)))
    }
    look(folder, DEPTH)
}

/// Lists the pictures of a folder: those in it, or those in its sub-folders, which are then classes.
pub(crate) fn list(root: &Path, split: Split) -> Result<Listing, DataError> {
    let top = held(root)?;
    let parts: Vec<String> = top.folders.iter().map(|folder| name_of(folder).to_lowercase()).collect();
    let known = |name: &String| TRAIN.contains(&name.as_str()) || HELD_OUT.contains(&name.as_str());
    if top.pictures.is_empty() && parts.iter().any(|name| name == TRAIN[0]) && parts.iter().all(known) {
        let wanted: &[&str] = match split {
            Split::Train => &TRAIN,
            Split::Test => &HELD_OUT,
        };
        let Some(at) = wanted.iter().find_map(|name| parts.iter().position(|part| part == name)) else {
            return Err(DataError::Missing {
                path: root.to_owned(),
                looked_for: format!("a sub-folder {} with the held-out part", wanted.join(", ")),
                nearest: top.folders.first().cloned(),
            });
        };
        let part = name_of(&top.folders[at]);
        return Ok(Listing { part: Some(part), ..within(&top.folders[at], held(&top.folders[at])?)? });
    }
    if split == Split::Test {
        return Err(DataError::Missing {
            path: root.to_owned(),
            looked_for: "a held-out part, which would be a sub-folder `test` or `val` beside `train`"
                .to_owned(),
            nearest: None,
        });
    }
    within(root, top)
}

fn within(root: &Path, top: Held) -> Result<Listing, DataError> {
    let refuse = |path: &Path, reason: String| DataError::Folder { path: path.to_owned(), reason };
    if let (Some(picture), Some(folder)) = (top.pictures.first(), top.folders.first()) {
        return Err(refuse(
            root,
            format!(
                "holds both pictures ({}) and sub-folders ({}): pictures belong either into the folder itself, or all into \
                 sub-folders, which are their classes",
                name_of(picture),
                name_of(folder)
            ),
        ));
    }
    let flat = top.folders.is_empty();
    if flat && top.pictures.is_empty() {
        let others =
            if top.ignored > 0 { format!(" among {} other files", top.ignored) } else { String::new() };
        return Err(refuse(root, format!("holds no pictures (.png, .jpg, .jpeg){others}")));
    }
    let mut listing = Listing { files: Vec::new(), classes: None, part: None, ignored: top.ignored };
    if flat {
        listing.files = top.pictures.into_iter().map(|path| (path, 0)).collect();
        return Ok(listing);
    }
    if top.folders.len() > usize::from(u16::MAX) {
        return Err(refuse(
            root,
            format!("has {} sub-folders, {} classes are the most", top.folders.len(), u16::MAX),
        ));
    }
    let real = |path: &Path| {
        fs::canonicalize(path).map_err(|source| DataError::Read { path: path.to_owned(), source })
    };
    let base = real(root)?;
    let mut seen: Vec<(PathBuf, &Path)> = Vec::new();
    for (class, folder) in (0..).zip(&top.folders) {
        let target = real(folder)?;
        if base.starts_with(&target) {
            return Err(refuse(folder, format!("is a link back up to {}: remove it", target.display())));
        }
        if let Some((_, twin)) = seen.iter().find(|(other, _)| *other == target) {
            return Err(refuse(
                folder,
                format!("is the same folder as {}: remove one of them", twin.display()),
            ));
        }
        seen.push((target, folder));
        let held = held(folder)?;
        if let Some(deeper) = held.folders.first() {
            return Err(refuse(
                deeper,
                format!(
                    "lies two levels below {}: only pictures in a folder, or in sub-folders that are its classes, are \
                     read; name the folder one level up, or move the pictures",
                    root.display()
                ),
            ));
        }
        if held.pictures.is_empty() {
            return Err(refuse(
                folder,
                "is a class without pictures: remove the sub-folder, or put pictures (.png, .jpg, .jpeg) into it".to_owned(),
            ));
        }
        listing.ignored += held.ignored;
        listing.files.extend(held.pictures.into_iter().map(|path| (path, class)));
    }
    listing.classes = Some(top.folders.iter().map(|folder| name_of(folder)).collect());
    Ok(listing)
}
