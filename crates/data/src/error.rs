//! What can be wrong with data, said once and clearly: what, where, expected, got, and what to do.

use std::{io, path::PathBuf};

/// Every way in which opening or reading data fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The specification names no path and no embedded set.
    #[error("unknown data `{spec}`: neither an existing path nor an embedded set{}; embedded sets: {known}", did_you_mean(.nearest))]
    UnknownSpec {
        /// What was asked for.
        spec: String,
        /// The most similar name.
        nearest: Option<String>,
        /// All embedded names.
        known: String,
    },

    /// A path, or a file that a folder should hold, does not exist.
    #[error("no data at {}: looked for {looked_for}{}", .path.display(), nearest_file(.nearest))]
    Missing {
        /// The path given.
        path: PathBuf,
        /// The names tried.
        looked_for: String,
        /// The most similar thing that does exist.
        nearest: Option<PathBuf>,
    },

    /// The operating system refused a file or folder.
    #[error("cannot read {}: {source}; check that it is a readable file or folder", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// The bytes are not in IDX format.
    #[error(
        "{} is not an IDX file: {found}; expected the bytes 00 00 08 03 (images) or 00 00 08 01 (labels) first, plain or gzip",
        .path.display()
    )]
    NotIdx {
        /// The file.
        path: PathBuf,
        /// What it looks like instead.
        found: String,
    },

    /// An IDX file of a type other than unsigned bytes.
    #[error("{} holds {found} (IDX type {dtype:#04x}); expected grey bytes (IDX type 0x08): convert it to unsigned bytes", .path.display())]
    IdxType {
        /// The file.
        path: PathBuf,
        /// The type byte of the header.
        dtype: u8,
        /// Its meaning.
        found: &'static str,
    },

    /// An IDX file with another number of axes than its role asks for.
    #[error("{} has {got} axes; {role} need {expected}{hint}", .path.display())]
    IdxRank {
        /// The file.
        path: PathBuf,
        /// What it was read as.
        role: &'static str,
        /// The number of axes that role has.
        expected: usize,
        /// The number in the header.
        got: usize,
        /// What to do, if anything is known.
        hint: String,
    },

    /// Fewer bytes than the header promises.
    #[error("{} is truncated: its header ({header}) asks for {expected} bytes, it holds {got}; fetch it again", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The part of the header that was read, in words.
        header: String,
        /// Bytes the (inflated) file must have, header included.
        expected: u64,
        /// Bytes it has.
        got: u64,
    },

    /// More bytes than the header promises.
    #[error("{} has bytes left over: its header ({header}) asks for {expected} bytes, it holds {}{got}; it is not the file its header describes", .path.display(), if *.at_least { "at least " } else { "" })]
    Trailing {
        /// The file.
        path: PathBuf,
        /// The header in words.
        header: String,
        /// Bytes the (inflated) file must have, header included.
        expected: u64,
        /// Bytes it has, or how far it was read.
        got: u64,
        /// Whether reading stopped at `got`.
        at_least: bool,
    },

    /// Dimensions that no real set of this kind has, or that the file cannot hold.
    #[error("{} claims {dims}: {reason}; the header is damaged, or this is not an image set", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The dimensions.
        dims: String,
        /// Which limit they break.
        reason: String,
    },

    /// A gzip stream that does not inflate.
    #[error("{} is a damaged gzip file after {got} inflated bytes: {source}; fetch it again", .path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// Bytes inflated before the damage.
        got: u64,
        /// The decoder's reason.
        source: io::Error,
    },

    /// Images and labels that do not belong together.
    #[error(
        "{images} images in {} but {labels} labels in {}; they are not of one set: give matching files, or remove the labels to train without",
        .images_path.display(), .labels_path.display()
    )]
    LabelCount {
        /// The image file.
        images_path: PathBuf,
        /// Images in it.
        images: u64,
        /// The label file.
        labels_path: PathBuf,
        /// Labels in it.
        labels: u64,
    },

    /// A set without items, or with items without pixels.
    #[error("{} is empty: its header says {dims}; at least one image of at least one pixel is needed", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// The dimensions.
        dims: String,
    },

    /// An unknown key after the `?`.
    #[error("unknown parameter `{key}` in `{spec}`{}; known: {known}", did_you_mean(.nearest))]
    UnknownParameter {
        /// The whole specification.
        spec: String,
        /// The key.
        key: String,
        /// The most similar key.
        nearest: Option<String>,
        /// All keys of this source.
        known: String,
    },

    /// A parameter whose value makes no sense.
    #[error("`{key}={value}` in `{spec}`: expected {expected}")]
    BadParameter {
        /// The whole specification.
        spec: String,
        /// The key.
        key: String,
        /// The value given.
        value: String,
        /// What is accepted.
        expected: String,
    },

    /// Two parameters that say the same thing.
    #[error("`{spec}` gives both `{first}` and `{second}`, which fix the same length: give one of them")]
    Conflict {
        /// The whole specification.
        spec: String,
        /// One key.
        first: &'static str,
        /// The other.
        second: &'static str,
    },

    /// A file that is not what its name says.
    #[error("{}: {reason}", .path.display())]
    NotCifar {
        /// The file.
        path: PathBuf,
        /// Expected, got, and what to do.
        reason: String,
    },

    /// A folder whose files or sub-folders do not make a set of pictures.
    #[error("{}: {reason}", .path.display())]
    Folder {
        /// The folder, or what is in it.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },

    /// Pictures that cannot be decoded.
    #[error(
        "{}: {reason}{}; mend or remove {}, or leave out what cannot be read with --skip-bad (`?skip-bad`)",
        .path.display(), others(*.more), if *.more > 0 { "them" } else { "it" }
    )]
    Picture {
        /// The first, in the order of the set.
        path: PathBuf,
        /// The decoder's reason.
        reason: String,
        /// How many more there are.
        more: u64,
    },

    /// More pixels than memory is given to.
    #[error("{}: {what} take {need:.1} GB of memory, {most:.1} GB is the most: {advice}", .path.display())]
    TooMuch {
        /// The file or folder.
        path: PathBuf,
        /// How many of what size.
        what: String,
        /// 10^9 bytes that they take.
        need: f64,
        /// 10^9 bytes that are allowed.
        most: f64,
        /// What to do.
        advice: String,
    },

    /// A set that cannot be stacked.
    #[error("{spec}: {reason}")]
    Stacked {
        /// The whole specification.
        spec: String,
        /// What is wrong with the inner set, and what to do.
        reason: String,
    },

    /// A part of a set that does not exist.
    #[error("{spec}: {reason}")]
    Subset {
        /// The whole specification.
        spec: String,
        /// What was asked for, what there is, and what to do.
        reason: String,
    },

    /// All items asked of a set that never ends.
    #[error("{spec} has no end: choose a number of its items with `limit`")]
    Endless {
        /// The set.
        spec: String,
    },

    /// Classes that cannot be drawn evenly.
    #[error("{spec}: class-balanced sampling {reason}")]
    Unbalanced {
        /// The set.
        spec: String,
        /// Why, and what to do.
        reason: String,
    },

    /// A batch of no items.
    #[error("batch of 0 from {spec}: a batch needs at least one item")]
    ZeroBatch {
        /// The set.
        spec: String,
    },

    /// A batch that the set cannot fill once.
    #[error(
        "batch of {batch} is larger than {spec}, which has {items} items: use a batch of at most {items}"
    )]
    BatchTooLarge {
        /// The set.
        spec: String,
        /// Items asked for.
        batch: usize,
        /// Items there are.
        items: u64,
    },

    /// A cursor beyond the positions that exist.
    #[error("loader cursor {cursor} is beyond {limit}: the checkpoint it comes from is damaged")]
    Cursor {
        /// The cursor.
        cursor: u64,
        /// The last position.
        limit: u64,
    },

    /// An index outside a finite set.
    #[error("item {index} of {spec} does not exist: it has {items} items, 0 to {}", .items - 1)]
    Index {
        /// The set.
        spec: String,
        /// The index.
        index: u64,
        /// Items there are.
        items: u64,
    },

    /// A buffer that does not fit the request.
    #[error("{what} buffer for {spec} has {got} elements, expected {expected}")]
    Buffer {
        /// The set.
        spec: String,
        /// Which buffer.
        what: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        got: usize,
    },

    /// Labels asked of a set that has none.
    #[error(
        "{spec} has no labels: train without classes, or give it some: a folder of pictures has a folder for each class, IDX images \
             have a file of labels beside them"
    )]
    Unlabelled {
        /// The set.
        spec: String,
    },

    /// The thread that prepares batches ended early.
    #[error("the thread preparing batches of {spec} stopped: {reason}")]
    Worker {
        /// The set.
        spec: String,
        /// The panic's message, or why no thread exists.
        reason: String,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|word| format!(" (did you mean `{word}`?)")).unwrap_or_default()
}

fn others(count: u64) -> String {
    match count {
        0 => String::new(),
        1 => " (and one more picture cannot be read)".to_owned(),
        n => format!(" (and {n} more pictures cannot be read)"),
    }
}

fn nearest_file(nearest: &Option<PathBuf>) -> String {
    nearest
        .as_ref()
        .map(|path| format!("; the nearest that exists is {}", path.display()))
        .unwrap_or_default()
}
