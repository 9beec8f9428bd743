//! A whole folder, decoded on all threads.

use super::{
    decode::{self, Found, Header, MAX_FILE},
    fit::{self, Done, Fit, MADE_GREY, Target},
    list::{Listing, list},
};
use crate::{
    bytes::{ByteImages, check_held},
    dataset::{Dataset, Reading},
    error::DataError,
    source::OpenOptions,
    spec::Spec,
};
use std::{
    fs::{self, File},
    io::{self, Read},
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The longest side of a set.
const MAX_SIDE: u32 = 4096;

/// Height and width where pictures are of mixed sizes and nobody says what is wanted.
const DEFAULT_SIDE: u32 = 64;

/// What the specification says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    /// Height and width.
    pub size: Option<(u32, u32)>,
    pub channels: Option<usize>,
    pub fit: Fit,
    pub skip_bad: bool,
}

impl Wishes {
    /// Reads the parameters.
    pub fn of(spec: &Spec<'_>) -> Result<Self, DataError> {
        let side = |text: &str| text.trim().parse::<u32>().ok().filter(|side| (1..=MAX_SIDE).contains(side));
        let size = match spec.value("size") {
            None => None,
            Some(text) => {
                let sides = match text.split_once(['x', 'X']) {
                    Some((width, height)) => side(height).zip(side(width)),
                    None => side(text).map(|side| (side, side)),
                };
                let expected =
                    || format!("a side such as 64, or WIDTHxHEIGHT such as 64x48, up to {MAX_SIDE}");
                Some(sides.ok_or_else(|| spec.bad("size", text, expected()))?)
            }
        };
        let channels = match spec.value("channels") {
            None => None,
            Some("1") => Some(1),
            Some("3") => Some(3),
            Some("4") => Some(4),
            Some(other) => return Err(spec.bad("channels", other, "1 (grey), 3 (RGB) or 4 (RGBA)")),
        };
        let fit = match spec.value("fit") {
            None | Some("crop") => Fit::Crop,
            Some("stretch") => Fit::Stretch,
            Some("pad") => Fit::Pad,
            Some(other) => return Err(spec.bad("fit", other, "`crop`, `stretch` or `pad`")),
        };
        Ok(Self { size, channels, fit, skip_bad: spec.flag("skip-bad")? })
    }
}

/// What became of a file.
type Outcome<T> = Result<T, String>;

/// Opens the folder that `spec` names.
pub(crate) fn open(spec: &Spec<'_>, options: &OpenOptions) -> Result<Dataset, DataError> {
    let root = Path::new(spec.base());
    let wishes = Wishes::of(spec)?;
    let listing = list(root, options.split)?;
    let target = target(&wishes, options, &listing)?;
    let shape = [target.height as usize, target.width as usize, target.channels];
    if let Some(channels) = Some(target.channels).filter(|c| ![1, 3, 4].contains(c)) {
        let reason = format!("pictures have 1, 3 or 4 channels, and {channels} are asked for");
        return Err(DataError::Folder { path: root.to_owned(), reason });
    }
    let advice = "choose a smaller size, e.g. ?size=64, or fewer pictures";
    check_held(root, listing.files.len() as u64, shape, advice)?;
    let elements = shape.iter().product::<usize>();
    let mut pixels = vec![0; listing.files.len() * elements];
    let large = Mutex::new(());
    let outcomes = in_parallel(&listing, options.progress, pixels.chunks_exact_mut(elements), |path, out| {
        let (picture, found) = decode::decode(&bytes_of(path)?, &large)?;
        Ok((found, fit::convert(&picture, &target, out)))
    });
    let (kept, skipped) = sort_out(outcomes, &listing, wishes.skip_bad)?;
    if let Some(names) = &listing.classes {
        let count = |class: u16| kept.iter().filter(|(at, _)| listing.files[*at].1 == class).count();
        if let Some((_, name)) = (0..).zip(names).find(|(class, _)| count(*class) == 0) {
            let reason = "none of its pictures can be read, which would leave a class without any".to_owned();
            return Err(DataError::Folder { path: folder_of(root, &listing).join(name), reason });
        }
    }
    if kept.is_empty() {
        let reason = format!("none of its {} pictures can be read: {}", listing.files.len(), skipped[0].1);
        return Err(DataError::Folder { path: root.to_owned(), reason });
    }
    // Sound pictures close the gaps that skipped ones leave.
    for (to, (from, _)) in kept.iter().enumerate().filter(|(to, (from, _))| to != from) {
        pixels.copy_within(from * elements..(from + 1) * elements, to * elements);
    }
    pixels.truncate(kept.len() * elements);
    pixels.shrink_to_fit();
    let labels = listing.classes.is_some().then(|| kept.iter().map(|(at, _)| listing.files[*at].1).collect());
    let images = ByteImages { elements, pixels, labels };
    let hash = images.hash("pictures", shape);
    let counts = counts(&kept, &listing, &target);
    let set =
        Dataset::new(spec.text(), &shape, hash, Box::new(images)).with_reading(Reading { counts, skipped });
    Ok(match listing.classes {
        Some(names) => set.with_classes(names),
        None => set,
    })
}

fn folder_of(root: &Path, listing: &Listing) -> PathBuf {
    listing.part.as_ref().map_or(root.to_owned(), |part| root.join(part))
}

/// What pictures become: as the specification says, else as the reader of the set needs it, else as the pictures are
/// where they are all of one size, else 64 x 64; grey where all are.
fn target(wishes: &Wishes, options: &OpenOptions, listing: &Listing) -> Result<Target, DataError> {
    let needed = options.shape.and_then(|[height, width, channels]| {
        Some(((u32::try_from(height).ok()?, u32::try_from(width).ok()?), channels))
    });
    let fit = wishes.fit;
    let size = wishes.size.or(needed.map(|(size, _)| size));
    let channels = wishes.channels.or(needed.map(|(_, channels)| channels));
    if let (Some((height, width)), Some(channels)) = (size, channels) {
        return Ok(Target { height, width, channels, fit });
    }
    let headers =
        in_parallel(listing, None, std::iter::repeat(()), |path, ()| decode::header(&bytes_of(path)?));
    if !wishes.skip_bad && headers.iter().any(Result::is_err) {
        // All that is wrong is told at once, and headers do not know all.
        let large = Mutex::new(());
        let all = in_parallel(listing, None, std::iter::repeat(()), |path, ()| {
            decode::decode(&bytes_of(path)?, &large).map(|_| ())
        });
        sort_out(all, listing, false)?;
    }
    let (sound, _) = sort_out(headers, listing, wishes.skip_bad)?;
    let sound = || sound.iter().map(|(_, header)| header);
    let first = sound().next().map(|h: &Header| (h.height, h.width));
    let common = first.filter(|&size| sound().all(|h| (h.height, h.width) == size));
    let (height, width) = size.or(common).unwrap_or((DEFAULT_SIDE, DEFAULT_SIDE));
    let grey = sound().all(|header| header.found.grey);
    Ok(Target { height, width, channels: channels.unwrap_or(if grey { 1 } else { 3 }), fit })
}

/// The bytes of a file.
pub(super) fn bytes_of(path: &Path) -> Outcome<Vec<u8>> {
    let failed = |error: io::Error| format!("cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if metadata.len() > MAX_FILE {
        let (len, most) = (metadata.len() / 1_000_000, MAX_FILE / 1_000_000);
        return Err(format!("has {len} MB, more than the limit of {most} MB"));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// `work` on every file, with an item of `places` each, on all cores; results in the order of the files.
fn in_parallel<P: Send, T: Send>(
    listing: &Listing,
    progress: Option<fn(u64, u64)>,
    places: impl Iterator<Item = P> + Send,
    work: impl Fn(&Path, P) -> Outcome<T> + Sync,
) -> Vec<Outcome<T>> {
    let total = listing.files.len() as u64;
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(listing.files.len());
    // Whoever is free takes the next file; which thread it is shows in nothing.
    let queue = Mutex::new(listing.files.iter().zip(places).enumerate());
    let results = Mutex::new(Vec::with_capacity(listing.files.len()));
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    // No work is done under a lock, so that neither can be poisoned with a state worth losing.
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((at, ((path, _), place))) = next else { return };
                    let result = work(path, place);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if let Some(progress) = progress {
                        progress(done, total);
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Sound results with the place of their file, and bad files with the reason.
type Sorted<T> = (Vec<(usize, T)>, Vec<(PathBuf, String)>);

/// Parts sound files from bad ones, which are an error unless they are to be skipped.
fn sort_out<T>(outcomes: Vec<Outcome<T>>, listing: &Listing, skip: bool) -> Result<Sorted<T>, DataError> {
    let (mut sound, mut bad) = (Vec::new(), Vec::new());
    for (at, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(result) => sound.push((at, result)),
            Err(reason) => bad.push((listing.files[at].0.clone(), reason)),
        }
    }
    match bad.first() {
        Some((path, reason)) if !skip => {
            let more = bad.len() as u64 - 1;
            Err(DataError::Picture { path: path.clone(), reason: reason.clone(), more })
        }
        Some(_) | None => Ok((sound, bad)),
    }
}

/// What was read and what was done to it, in words.
fn counts(kept: &[(usize, (Found, Done))], listing: &Listing, target: &Target) -> Vec<(String, u64)> {
    let found = |what: fn(&Found) -> bool| kept.iter().filter(|(_, (found, _))| what(found)).count() as u64;
    let done = |what: fn(&Done) -> bool| kept.iter().filter(|(_, (_, done))| what(done)).count() as u64;
    let (width, height) = (target.width, target.height);
    let alpha = match target.channels {
        4 => "with an alpha channel, kept",
        _ => "with an alpha channel, laid on white",
    };
    let grey = match target.channels {
        1 => (MADE_GREY, found(|f| !f.grey)),
        _ => ("grey, repeated in each colour channel", found(|f| f.grey)),
    };
    let opaque = if target.channels == 4 { found(|f| !f.alpha) } else { 0 };
    let all = [
        ("JPEG files".to_owned(), found(|f| f.jpeg)),
        ("PNG files".to_owned(), found(|f| !f.jpeg)),
        ("cropped to the middle".to_owned(), done(|d| d.cropped)),
        ("stretched to another shape".to_owned(), done(|d| d.stretched)),
        ("with bars added".to_owned(), done(|d| d.padded)),
        (format!("reduced to {width} x {height}"), done(|d| d.reduced && !d.enlarged)),
        (format!("enlarged to {width} x {height}"), done(|d| d.enlarged)),
        ("turned upright, as their Exif orientation says".to_owned(), found(|f| f.turned)),
        (grey.0.to_owned(), grey.1),
        (alpha.to_owned(), found(|f| f.alpha)),
        ("without an alpha channel, made opaque".to_owned(), opaque),
        ("of 16 bits, rounded to 8".to_owned(), found(|f| f.sixteen_bit)),
        ("with a palette, looked up".to_owned(), found(|f| f.palette)),
        ("in CMYK, made RGB".to_owned(), found(|f| f.cmyk)),
        ("animated, their first picture taken".to_owned(), found(|f| f.animated)),
        ("other files, ignored".to_owned(), listing.ignored),
    ];
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}
