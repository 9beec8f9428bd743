//! The formulas of `tools/goldens_pretrained.py`: weights by name, images by number; and files of them.

use ganymede::extractors::{self, Extractor, Wanted, Watch};
use ganymede_cpu::{Executor, ExecutorOptions};
use ganymede_data::{ContentHash, Dataset, Items};
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;
use std::sync::Arc;

/// SplitMix64 counted from the FNV-1a hash of a name.
fn words(name: &str) -> impl Fn(u64) -> u64 {
    let seed = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3));
    move |i| {
        let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Values of a parameter: `value` of the script.
fn value(name: &str, shape: &[usize]) -> Vec<f32> {
    let word = words(name);
    let count: usize = shape.iter().product();
    let fan_in: usize = shape.iter().skip(1).product();
    let scale = (6.0 / fan_in as f64).sqrt();
    let ends = |words: &[&str]| words.iter().any(|word| name.ends_with(word));
    let of = |i: usize| {
        let uniform = (word(i as u64) >> 40) as f64 / f64::from(1u32 << 24);
        let signed = 2.0 * uniform - 1.0;
        if name.ends_with("running_var") {
            0.5 + uniform
        } else if name.starts_with("lin") {
            uniform
        } else if name.ends_with("_token") || name == "pos_embed" {
            signed
        } else if shape.len() >= 2 {
            signed * scale
        } else if ends(&["weight", "gamma"]) {
            1.0 + 0.2 * signed
        } else {
            0.2 * signed
        }
    };
    (0..count).map(|i| of(i) as f32).collect()
}

/// Writes tensors (name in the file, name that its values follow from, shape) as safetensors.
pub fn write(path: &Path, tensors: impl IntoIterator<Item = (String, String, Vec<usize>)>) {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(own, name, shape)| {
            let values = value(&name, &shape).iter().flat_map(|v| v.to_le_bytes()).collect();
            (own, shape, values)
        })
        .collect();
    let view = |shape: &Vec<usize>, bytes| TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
    let views = bytes.iter().map(|(name, shape, bytes)| (name.as_str(), view(shape, bytes)));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// A file of goldens.
pub struct Golden {
    /// Names and shapes of the network's tensors.
    pub tensors: Vec<(String, Vec<usize>)>,
    blocks: Vec<(String, String, Vec<f64>)>,
}

impl Golden {
    pub fn read(text: &str) -> Self {
        let mut golden = Self { tensors: Vec::new(), blocks: Vec::new() };
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        while let Some(line) = lines.next() {
            let words: Vec<&str> = line.split(' ').collect();
            if words[0] == "tensor" {
                let shape = words[2..].iter().map(|n| n.parse().unwrap()).collect();
                golden.tensors.push((words[1].into(), shape));
            } else {
                let values = lines.next().unwrap().split(' ').map(|v| v.parse().unwrap()).collect();
                golden.blocks.push((words[0].into(), words[1].into(), values));
            }
        }
        golden
    }

    pub fn of(&self, kind: &str, name: &str) -> &[f64] {
        let found = self.blocks.iter().find(|block| (block.0.as_str(), block.1.as_str()) == (kind, name));
        &found.unwrap_or_else(|| panic!("no {kind} {name}")).2
    }
}

/// Images of the script.
#[derive(Clone, Copy)]
pub struct Images {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Images {
    pub fn bytes(&self, number: usize) -> Vec<u8> {
        let name = format!("image{number}");
        let word = words(&name);
        let of = |i: usize| {
            let (c, place) = (i % self.channels, i / self.channels);
            let (x, y) = (place % self.width, place / self.width);
            ((y * (5 + number) + x * 3 + c * 60) as u64 + (word(i as u64) >> 58)) % 256
        };
        (0..self.height * self.width * self.channels).map(|i| of(i) as u8).collect()
    }

    /// The first images as extractors are given them.
    pub fn first(&self, count: usize) -> Vec<f32> {
        (0..count).flat_map(|i| self.bytes(i)).map(|byte| f32::from(byte) / 127.5 - 1.0).collect()
    }

    fn set(self) -> Arc<Dataset> {
        let shape = [self.height, self.width, self.channels];
        Arc::new(Dataset::new("formula", &shape, ContentHash([7; 32]), Box::new(self)))
    }
}

impl Items for Images {
    fn count(&self) -> Option<u64> {
        Some(8)
    }

    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], _: Option<&mut [i32]>) {
        let size = self.height * self.width * self.channels;
        for (&index, item) in indices.iter().zip(out.chunks_exact_mut(size)) {
            let bytes = self.bytes(index as usize);
            item.iter_mut().zip(bytes).for_each(|(value, byte)| *value = f32::from(byte) / 127.5 - 1.0);
        }
    }
}

#[derive(Default)]
struct Notes(Vec<String>);

impl Watch for Notes {
    fn note(&mut self, message: &str) {
        self.0.push(message.into());
    }
}

/// An extractor for such images, and what was said of it.
pub fn opened(choice: &str, images: &Images) -> Result<(Box<dyn Extractor>, Vec<String>), String> {
    let (mut watch, executor) = (Notes::default(), Executor::new(ExecutorOptions::default()).unwrap());
    let mut wanted = Wanted { train: images.set(), test: None, executor, cache: None, watch: &mut watch };
    let extractor = extractors::open(Some(choice), &mut wanted).map_err(|e| e.to_string())?;
    Ok((extractor, watch.0))
}

/// The extractor alone.
pub fn note_free(choice: &str, images: &Images) -> Box<dyn Extractor> {
    opened(choice, images).unwrap_or_else(|e| panic!("{e}")).0
}
