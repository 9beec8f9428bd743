//! What the tests of the binary share: running it, and small data, recipes and run folders made in a moment.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary, ready for arguments. An instruction set forced on the tests is forced on it too.
pub fn ganymede() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ganymede"));
    command.stdin(Stdio::null());
    command
}

/// A run of the binary that has ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ended = Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) };
        let both = format!("{}{}", ended.out, ended.err);
        assert!(!both.contains("panicked") && !both.contains("RUST_BACKTRACE"), "a panic:\n{both}");
        ended
    }

    /// Asserts success and returns standard output.
    #[track_caller]
    pub fn fine(self) -> String {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self.out
    }

    /// Asserts the exit code and that standard error is one message with all of `words`.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        assert_eq!(self.err.matches("error: ").count(), 1, "not one message:\n{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not in:\n{}", self.err);
        }
        self.err
    }
}

/// Runs the binary in `folder`.
pub fn run(folder: &Path, arguments: &[&str]) -> Ended {
    Ended::of(ganymede().current_dir(folder).args(arguments).output().expect("the binary starts"))
}

/// Runs the binary with an environment variable.
pub fn run_with(folder: &Path, variable: (&str, &str), arguments: &[&str]) -> Ended {
    let output = ganymede().current_dir(folder).env(variable.0, variable.1).args(arguments).output();
    Ended::of(output.expect("the binary starts"))
}

/// Runs the binary from a shell script, in which `"$G"` is the binary.
pub fn shell(folder: &Path, script: &str) -> Ended {
    let output = Command::new("sh")
        .args(["-c", script])
        .env("G", env!("CARGO_BIN_EXE_ganymede"))
        .current_dir(folder)
        .output();
    Ended::of(output.expect("a shell"))
}

/// Starts the binary; its output is dropped.
pub fn start(folder: &Path, arguments: &[&str]) -> Child {
    ganymede()
        .current_dir(folder)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts")
}

/// Sends a signal to a child of ours.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.expect("kill").success());
}

/// Waits until `ready` holds; fails after a minute.
#[track_caller]
pub fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let began = Instant::now();
    while !ready() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Complete lines of a file; 0 where there is none.
pub fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.matches('\n').count())
}

/// IDX bytes of grey images `[count, side, side]` with a bright square whose place depends on the index.
pub fn idx_images(count: u32, side: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for dim in [count, side, side] {
        bytes.extend(dim.to_be_bytes());
    }
    for i in 0..count {
        for y in 0..side {
            for x in 0..side {
                let inside = (x + i) % side < side / 2 && (y + 3 * i) % side < side / 2;
                bytes.push(if inside { 230 + (i % 20) as u8 } else { (i % 16) as u8 });
            }
        }
    }
    bytes
}

/// IDX bytes of labels 0, 1, 2, .. modulo ten.
pub fn idx_labels(count: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend(count.to_be_bytes());
    bytes.extend((0..count).map(|i| (i % 10) as u8));
    bytes
}

/// A gzip stream.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Writes a set of 64 images of 8x8 with labels to `folder/NAME` and returns its path relative to `folder`.
pub fn image_set(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    std::fs::create_dir_all(&path).expect("a folder");
    std::fs::write(path.join("train-images-idx3-ubyte"), idx_images(64, 8)).expect("a file");
    std::fs::write(path.join("train-labels-idx1-ubyte"), idx_labels(64)).expect("a file");
    format!("./{name}")
}

/// A recipe for images of 8x8 that steps in a millisecond: dense layers, batch norm in the generator, R1 at every
/// second step, scheduled rates, an average.
pub const TINY: &str = r#"
name = "tiny"
about = "dense networks for 8x8 images, for tests"

[data]
shape = [8, 8, 1]
default = "glyphs"

[latent]
dim = 6

[train]
batch = 8
images = 320

[loss]
name = "relativistic-pairing"

[[regularizers]]
name = "r1"
strength = "cosine 1 -> 0.1"
every = 2

[ema]
half_life = 100

[generator]
layers = ["dense 24", "batch_norm", "relu", "dense 64 tanh", "reshape 8 8 1"]
optimizer = { kind = "adam", lr = "cosine 1e-3 -> 1e-4", beta1 = 0.0, beta2 = 0.99 }

[discriminator]
layers = ["flatten", "dense 24 leaky_relu=0.2", "dropout 0.1", "dense 1"]
optimizer = { kind = "adam", lr = "cosine 1e-3 -> 1e-4", beta1 = 0.0, beta2 = 0.99 }
"#;

/// Writes [`TINY`] to `folder/tiny.toml`.
pub fn tiny_recipe(folder: &Path) -> &'static str {
    std::fs::write(folder.join("tiny.toml"), TINY).expect("a file");
    "tiny.toml"
}

/// Writes [`TINY`], told so many classes, to `folder/cond.toml`.
pub fn conditional_recipe(folder: &Path, classes: usize) {
    let text = TINY
        .replace("default = \"glyphs\"", &format!("default = \"glyphs\"\nclasses = {classes}"))
        .replace("[\"dense 24\", \"batch_norm\"", "[\"concat_label 4\", \"dense 24\", \"batch_norm\"")
        .replace("\"dropout 0.1\", \"dense 1\"", "\"projection\"");
    std::fs::write(folder.join("cond.toml"), text).expect("a file");
}

/// A folder with an image set `set`, a recipe `tiny.toml`, and a finished run `run` of 20 steps.
pub fn trained() -> tempfile::TempDir {
    let folder = prepared();
    run(folder.path(), &["train", "./set", "--recipe", "tiny.toml", "--steps", "20", "--out", "run"]).fine();
    folder
}

/// A folder with an image set `set` and a recipe `tiny.toml`.
pub fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    image_set(folder.path(), "set");
    tiny_recipe(folder.path());
    folder
}

/// The checkpoints of a run, newest first.
pub fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let step = |path: &Path| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
    };
    let entries = std::fs::read_dir(run.join("checkpoints")).expect("a folder of checkpoints");
    let mut found: Vec<(u64, PathBuf)> =
        entries.map(|e| e.expect("an entry").path()).filter_map(|p| Some((step(&p)?, p))).collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// Every file below a folder with the hash of its bytes.
pub fn hashes(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut out = BTreeMap::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else if path.file_name() != Some("lock".as_ref()) {
                // The lock names the process that held it last; it is not part of the run.
                let hash = blake3::hash(&std::fs::read(&path).expect("a file"));
                out.insert(path.strip_prefix(folder).expect("below").to_path_buf(), hash.to_string());
            }
        }
    }
    out
}

/// Every tensor of a checkpoint with the hash of its type, shape and bytes.
pub fn tensors(checkpoint: &Path) -> BTreeMap<String, String> {
    let bytes = std::fs::read(checkpoint).expect("a checkpoint");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    file.tensors()
        .into_iter()
        .map(|(name, t)| {
            let mut hash = blake3::Hasher::new();
            hash.update(format!("{:?}{:?}", t.dtype(), t.shape()).as_bytes());
            hash.update(t.data());
            (name, hash.finalize().to_string())
        })
        .collect()
}

/// Flips one bit of the byte at `part` (0 to 1) of a file.
pub fn damage(path: &Path, part: f64) {
    let mut bytes = std::fs::read(path).expect("a file");
    let at = ((bytes.len() - 1) as f64 * part) as usize;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("a file");
}
