//! Checkpoints: one safetensors file with ALL state of a run, written so that a crash at any moment leaves the last
//! good one.
//!
//! The tensors are the slots of the state store under their own names; what else a run needs (counters, seed,
//! recipe) is in the file's metadata, together with a BLAKE3 sum over everything.

use crate::best::Best;
use crate::step::ACCUMULATED;
use ganymede_cpu::StateStore;
use ganymede_graph::{DType, TensorType};
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Version of the checkpoint layout; a file of another is refused by name.
pub const FORMAT: &str = "1";

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("{path}: cannot {action} the checkpoint: {source}")]
    Io {
        /// The file.
        path: String,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The file is not what was written.
    #[error("{path}: the checkpoint is damaged: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What does not fit.
        reason: String,
    },
    /// The file is sound but belongs to something else.
    #[error("{path}: the checkpoint does not fit: {reason}")]
    Mismatch {
        /// The file.
        path: String,
        /// Missing, unexpected and mismatched tensors, or the version.
        reason: String,
    },
    /// There are some, and none can be read.
    #[error("{path}: none of its checkpoints can be used, so there is nothing to go on from:\n  {each}")]
    AllDamaged {
        /// The folder.
        path: String,
        /// What is wrong with each.
        each: String,
    },
    /// There is none.
    #[error(
        "{path}: no checkpoint here{hint}; expected a run folder with checkpoints/step-N.safetensors, or such a file"
    )]
    None {
        /// Where one was looked for.
        path: String,
        /// What is there instead.
        hint: String,
    },
}

/// Counters and texts beside the tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Generator steps done.
    pub step: u64,
    /// Real samples shown to the discriminator.
    pub images: u64,
    /// Position in the stream of real samples.
    pub cursor: u64,
    /// Discriminator steps done (lazy regularization counts them).
    pub critic_steps: u64,
    /// Samples of the generator's own steps so far: at which of its latents the next step begins.
    pub generated: u64,
    /// Length of the run in images; schedules depend on it.
    pub total_images: u64,
    /// Factor on the learning rates, lowered after a rollback.
    pub lr_scale: f64,
    /// Rollbacks so far.
    pub rollbacks: u32,
    /// Steps skipped because a value was not finite.
    pub skipped: u64,
    /// Steps with a dropped update, one after the other up to this one; a rollback follows when they are too many.
    pub skipped_in_a_row: u32,
    /// Phases whose last steps dropped an update, with how many of them in a row; a rollback follows here too.
    pub failing: BTreeMap<String, u32>,
    /// Step of the checkpoint that the last rollback went to.
    pub rolled_back_to: Option<u64>,
    /// Norms of the gradients of discriminator and generator that nine of ten steps stayed below; 0 before the first.
    pub usual_norms: [f64; 2],
    /// The smallest that these have been since the run began or was rolled back; 0 before the first.
    pub calm_norms: [f64; 2],
    /// Bounds on these norms that rollbacks have set; 0 for none.
    pub norm_bounds: [f64; 2],
    /// The best score so far, where the recipe names a metric.
    pub best: Option<Best>,
    /// Seconds of training so far, over all sessions of the run.
    pub seconds: f64,
    /// The resolved recipe.
    pub recipe: String,
}

/// A loaded checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// Where it came from.
    pub path: PathBuf,
    /// Counters and recipe.
    pub progress: Progress,
    /// The tensors.
    pub store: StateStore,
}

const CHECKSUM: &str = "blake3";

fn dtype(ty: DType) -> Dtype {
    match ty {
        // bf16 state is stored as the f32 words it is held in.
        DType::F32 | DType::Bf16 => Dtype::F32,
        DType::I32 => Dtype::I32,
        DType::U32 | DType::Bool => Dtype::U32,
    }
}

/// A slot of the store as safetensors wants it, without a copy of its own.
struct View<'a> {
    ty: &'a TensorType,
    bytes: Cow<'a, [u8]>,
}

impl<'a> View<'a> {
    fn new(ty: &'a TensorType, words: &'a [u32]) -> Self {
        let bytes = if cfg!(target_endian = "little") {
            Cow::Borrowed(bytemuck::cast_slice(words))
        } else {
            Cow::Owned(words.iter().flat_map(|w| w.to_le_bytes()).collect())
        };
        Self { ty, bytes }
    }
}

impl safetensors::tensor::View for &View<'_> {
    fn dtype(&self) -> Dtype {
        dtype(self.ty.dtype)
    }
    fn shape(&self) -> &[usize] {
        &self.ty.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Sum over names, types, shapes, bytes and metadata, in sorted order: the order within the file does not matter.
fn checksum<'a>(
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], &'a [u8])>,
    metadata: &HashMap<String, String>,
) -> String {
    let mut hash = blake3::Hasher::new();
    let mut feed = |part: &[u8]| {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_by_key(|t| t.0);
    for (name, dtype, shape, data) in tensors {
        feed(name.as_bytes());
        feed(format!("{dtype:?}{shape:?}").as_bytes());
        feed(data);
    }
    let mut keys: Vec<&String> = metadata.keys().filter(|k| *k != CHECKSUM).collect();
    keys.sort();
    for key in keys {
        feed(key.as_bytes());
        feed(metadata[key].as_bytes());
    }
    hash.finalize().to_hex().to_string()
}

impl Progress {
    fn metadata(&self) -> HashMap<String, String> {
        let pairs = [
            ("format", FORMAT.to_string()),
            ("program", concat!("ganymede ", env!("CARGO_PKG_VERSION")).to_string()),
            ("step", self.step.to_string()),
            ("images", self.images.to_string()),
            ("cursor", self.cursor.to_string()),
            ("critic_steps", self.critic_steps.to_string()),
            ("generated", self.generated.to_string()),
            ("total_images", self.total_images.to_string()),
            // Bits, so that resuming multiplies by the same number.
            ("lr_scale", format!("{:016x}", self.lr_scale.to_bits())),
            ("rollbacks", self.rollbacks.to_string()),
            ("skipped", self.skipped.to_string()),
            ("skipped_in_a_row", self.skipped_in_a_row.to_string()),
            ("seconds", self.seconds.to_string()),
            ("recipe", self.recipe.clone()),
        ];
        let rolled_back = self.rolled_back_to.map(|step| ("rolled_back_to", step.to_string()));
        let best = self.best.map(|best| ("best", format!("{} {:016x}", best.step, best.score.to_bits())));
        let failing = (!self.failing.is_empty()).then(|| {
            let each = self.failing.iter().map(|(name, count)| format!("{name} {count}"));
            ("failing", each.collect::<Vec<_>>().join(","))
        });
        let pairs = pairs.into_iter().chain(rolled_back).chain(best).chain(failing);
        let norms = [
            ("usual_norms", self.usual_norms),
            ("calm_norms", self.calm_norms),
            ("norm_bounds", self.norm_bounds),
        ]
        .map(|(key, values)| (key, values.map(|v| format!("{:016x}", v.to_bits())).join(" ")));
        pairs.chain(norms).map(|(k, v)| (k.to_string(), v)).collect()
    }

    fn from_metadata(metadata: &HashMap<String, String>) -> Result<Self, String> {
        fn get<T: std::str::FromStr>(metadata: &HashMap<String, String>, key: &str) -> Result<T, String> {
            let text = metadata.get(key).ok_or(format!("the metadata lacks `{key}`"))?;
            text.parse().map_err(|_| format!("`{key}` is `{text}`"))
        }
        // Checkpoints of the first versions do not have these.
        let optional = |key: &str| metadata.contains_key(key).then(|| get::<u64>(metadata, key)).transpose();
        let in_a_row = optional("skipped_in_a_row")?.unwrap_or(0);
        let bits = |key: &str, text: &str| {
            let read = u64::from_str_radix(text, 16).map_err(|_| format!("`{key}` is `{text}`"));
            read.map(f64::from_bits)
        };
        let pair = |key: &str| match metadata.get(key) {
            None => Ok([0.0; 2]),
            Some(text) => match text.split(' ').collect::<Vec<_>>()[..] {
                [d, g] => Ok([bits(key, d)?, bits(key, g)?]),
                _ => Err(format!("`{key}` is `{text}`")),
            },
        };
        let best = match metadata.get("best").map(|text| (text, text.split_once(' '))) {
            None => None,
            Some((text, Some((step, score)))) => Some(Best {
                step: step.parse().map_err(|_| format!("`best` is `{text}`"))?,
                score: bits("best", score)?,
            }),
            Some((text, None)) => return Err(format!("`best` is `{text}`")),
        };
        let failing = metadata.get("failing").map_or(Ok(BTreeMap::new()), |text| {
            let of = |entry: &str| {
                let (name, count) = entry.rsplit_once(' ')?;
                Some((name.to_string(), count.parse::<u32>().ok()?))
            };
            text.split(',').map(of).collect::<Option<_>>().ok_or(format!("`failing` is `{text}`"))
        })?;
        let (step, recipe): (u64, String) = (get(metadata, "step")?, get(metadata, "recipe")?);
        // Those without had one batch throughout, as far as it can be known.
        let batch = || {
            let table = recipe.parse::<toml::Table>().ok()?;
            u64::try_from(table.get("train")?.get("batch")?.as_integer()?).ok()
        };
        let generated = optional("generated")?.unwrap_or_else(|| step.saturating_mul(batch().unwrap_or(0)));
        let scale = bits("lr_scale", &get::<String>(metadata, "lr_scale")?)?;
        Ok(Self {
            step,
            generated,
            images: get(metadata, "images")?,
            cursor: get(metadata, "cursor")?,
            critic_steps: get(metadata, "critic_steps")?,
            total_images: get(metadata, "total_images")?,
            lr_scale: scale,
            usual_norms: pair("usual_norms")?,
            calm_norms: pair("calm_norms")?,
            norm_bounds: pair("norm_bounds")?,
            best,
            rollbacks: get(metadata, "rollbacks")?,
            skipped: get(metadata, "skipped")?,
            skipped_in_a_row: u32::try_from(in_a_row)
                .map_err(|_| format!("`skipped_in_a_row` is `{in_a_row}`"))?,
            failing,
            rolled_back_to: optional("rolled_back_to")?,
            seconds: get(metadata, "seconds")?,
            recipe,
        })
    }
}

/// Syncs a folder, so that a rename inside it survives a power cut.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Writes `bytes` to a sibling, syncs it, renames it to `path` and syncs the folder. On failure the sibling is
/// removed and whatever `path` held stays.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    replace(path, |temporary| File::create(temporary)?.write_all(bytes))
}

/// The same with a writer of the sibling.
fn replace(path: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.exists() {
        let told = format!("there is no folder {}; make it first", folder.display());
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, told));
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".tmp-{}", std::process::id()));
    let temporary = folder.join(name);
    let written = (|| {
        write(&temporary)?;
        // Of the file, not of the descriptor: what was written through another is synced too.
        File::options().write(true).open(&temporary)?.sync_all()?;
        std::fs::rename(&temporary, path)?;
        sync_folder(folder)
    })();
    if written.is_err() {
        // The error that matters is the first; a leftover sibling is never taken for a checkpoint.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Writes all slots of `store` that mean something between steps, and the progress, to `path`, atomically.
pub fn save(path: &Path, store: &StateStore, progress: &Progress) -> Result<(), CheckpointError> {
    let io = |source: std::io::Error| CheckpointError::Io {
        path: path.display().to_string(),
        action: "write",
        source,
    };
    let views: Vec<(&str, View<'_>)> = store
        .names()
        .filter(|name| !name.starts_with(ACCUMULATED))
        .filter_map(|name| Some((name, View::new(store.ty(name)?, store.words(name)?))))
        .collect();
    let mut metadata = progress.metadata();
    let parts = views.iter().map(|(name, v)| (*name, dtype(v.ty.dtype), v.ty.shape.as_slice(), &*v.bytes));
    let sum = checksum(parts, &metadata);
    metadata.insert(CHECKSUM.into(), sum);
    // Straight from the store's memory to the file: a checkpoint of the size of the state needs no further memory.
    replace(path, |temporary| {
        let listed = views.iter().map(|(name, view)| (*name, view));
        safetensors::serialize_to_file(listed, Some(metadata), temporary).map_err(|error| match error {
            SafeTensorError::IoError(error) => error,
            other => std::io::Error::other(other.to_string()),
        })
    })
    .map_err(io)
}

/// Reads and checks one checkpoint file.
pub fn load(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let shown = path.display().to_string();
    let damaged = |reason: String| CheckpointError::Damaged { path: shown.clone(), reason };
    let file = std::fs::read(path).map_err(|source| CheckpointError::Io {
        path: shown.clone(),
        action: "read",
        source,
    })?;
    let (_, header) = SafeTensors::read_metadata(&file).map_err(|e| {
        damaged(format!("it does not read as safetensors ({e}): it is cut short, altered, or no checkpoint"))
    })?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let tensors = SafeTensors::deserialize(&file).map_err(|e| damaged(e.to_string()))?;
    let Some(recorded) = metadata.get(CHECKSUM) else {
        return Err(CheckpointError::Mismatch {
            path: shown,
            reason: "it has no checksum: this safetensors file was not written by ganymede train".into(),
        });
    };
    let listed = tensors.tensors();
    let sum = checksum(listed.iter().map(|(n, t)| (n.as_str(), t.dtype(), t.shape(), t.data())), &metadata);
    if sum != *recorded {
        return Err(damaged(format!("its checksum is {sum}, recorded is {recorded}")));
    }
    match metadata.get("format").map(String::as_str) {
        Some(FORMAT) => {}
        other => {
            let found = other.unwrap_or("none");
            let reason = format!("its layout is version {found}, this program reads version {FORMAT}");
            return Err(CheckpointError::Mismatch { path: shown, reason });
        }
    }
    let progress = Progress::from_metadata(&metadata).map_err(damaged)?;
    let mut store = StateStore::new();
    for (name, tensor) in &listed {
        let dtype = match tensor.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::I32 => DType::I32,
            Dtype::U32 => DType::U32,
            other => return Err(damaged(format!("tensor `{name}` has type {other:?}"))),
        };
        let words: Vec<u32> =
            tensor.data().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        store
            .insert_words(name, TensorType::new(dtype, tensor.shape()), &words)
            .map_err(|e| damaged(e.to_string()))?;
    }
    Ok(Checkpoint { path: path.to_path_buf(), progress, store })
}

/// The step in a name such as `step-1200.safetensors`.
fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
}

/// Checkpoints of a run's `checkpoints` folder, newest first.
pub fn list(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter_map(|path| step_of(&path).map(|step| (step, path)))
        .collect();
    found.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
    found.into_iter().map(|(_, path)| path).collect()
}

/// What is at a path without a checkpoint.
fn instead(path: &Path) -> String {
    /// Runs that are named.
    const NAMED: usize = 5;
    if !path.exists() {
        return ": there is no such file or folder".into();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut runs: Vec<String> = entries
        .filter(|entry| entry.path().join("checkpoints").is_dir())
        .map(|entry| entry.path().display().to_string())
        .collect();
    runs.sort();
    match runs.len() {
        0 => String::new(),
        n => format!(", but in {}{}", runs[..n.min(NAMED)].join(", "), if n > NAMED { ", .." } else { "" }),
    }
}

/// Loads a checkpoint file, or the newest sound one of a run folder. Damaged newer ones are passed over; what was
/// passed over is returned as warnings.
pub fn open(path: &Path) -> Result<(Checkpoint, Vec<String>), CheckpointError> {
    if path.is_file() {
        return load(path).map(|c| (c, Vec::new()));
    }
    let folder =
        if path.join("checkpoints").is_dir() { path.join("checkpoints") } else { path.to_path_buf() };
    let candidates = list(&folder);
    let mut warnings = Vec::new();
    for candidate in &candidates {
        match load(candidate) {
            Ok(checkpoint) => {
                if !warnings.is_empty() {
                    warnings.push(format!("fell back to {}", checkpoint.path.display()));
                }
                return Ok((checkpoint, warnings));
            }
            Err(error) => warnings.push(error.to_string()),
        }
    }
    if candidates.is_empty() {
        return Err(CheckpointError::None { path: path.display().to_string(), hint: instead(path) });
    }
    Err(CheckpointError::AllDamaged { path: folder.display().to_string(), each: warnings.join("\n  ") })
}

/// Loads the newest sound checkpoint of a step before `step`, if there is one.
pub fn open_before(folder: &Path, step: u64) -> Option<(Checkpoint, Vec<String>)> {
    let mut older = list(folder).into_iter().filter(|p| step_of(p) < Some(step));
    older.find_map(|path| load(&path).ok()).map(|checkpoint| (checkpoint, Vec::new()))
}

/// Renames the checkpoints of steps after `step` to `step-N.safetensors.set-aside`, so that a run that goes on from
/// `step` neither continues from them nor counts them among those it keeps. Returns their new names.
pub fn set_aside(folder: &Path, step: u64) -> std::io::Result<Vec<PathBuf>> {
    let mut moved = Vec::new();
    for newer in list(folder).into_iter().filter(|p| step_of(p) > Some(step)) {
        moved.push(put_aside(&newer)?);
    }
    Ok(moved)
}

/// Renames a checkpoint to `NAME.set-aside`, its new name, which nothing takes for a checkpoint.
pub(crate) fn put_aside(path: &Path) -> std::io::Result<PathBuf> {
    let mut name = path.to_path_buf().into_os_string();
    name.push(".set-aside");
    std::fs::rename(path, &name)?;
    Ok(PathBuf::from(name))
}

/// Removes all but the newest `keep` checkpoints, and temporary files of writers that were killed.
pub fn prune(folder: &Path, keep: usize) -> std::io::Result<()> {
    for old in list(folder).into_iter().skip(keep) {
        std::fs::remove_file(old)?;
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if (name.starts_with("step-") || name.starts_with("best.")) && name.contains(".safetensors.tmp-") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// What is missing, unexpected or of another type in `found` against `expected`; `None` if they agree.
pub fn differences(expected: &StateStore, found: &StateStore) -> Option<String> {
    let expected = expected.names().filter_map(|name| Some((name.to_string(), expected.ty(name)?.clone())));
    differences_from(&expected.collect(), found)
}

/// The same against names and types alone.
pub fn differences_from(expected: &BTreeMap<String, TensorType>, found: &StateStore) -> Option<String> {
    let mut lines = Vec::new();
    for (name, want) in expected {
        match found.ty(name) {
            Some(got) if want != got => lines.push(format!("{name}: expected {want}, got {got}")),
            Some(_) => {}
            None => lines.push(format!("{name}: missing (expected {want})")),
        }
    }
    for name in found.names().filter(|n| !expected.contains_key(*n)) {
        lines.push(format!("{name}: unexpected"));
    }
    if lines.is_empty() {
        return None;
    }
    let more = if lines.len() > 12 { format!("\n  and {} more", lines.len() - 12) } else { String::new() };
    let shown: Vec<&str> = lines.iter().take(12).map(String::as_str).collect();
    Some(format!("{} tensors differ:\n  {}{more}", lines.len(), shown.join("\n  ")))
}
