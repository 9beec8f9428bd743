//! Tensors by name from a file of the user's: safetensors, or what `torch.save` wrote, read without executing it.

use crate::error::Error;
use pytorch_reader::{DType as TorchType, PytorchReader, Tensor as TorchTensor};
use safetensors::tensor::{Dtype, Metadata};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Endings of files of weights.
pub const ENDINGS: [&str; 5] = ["safetensors", "pth", "pt", "bin", "ckpt"];
/// Longest header of a safetensors file: what the format allows.
const MAX_HEADER: u64 = 100_000_000;
/// Keys below which checkpoints keep a state dict, and what `DataParallel` puts before each name.
const WRAPPERS: [&str; 4] = ["state_dict.", "model_state_dict.", "model.", "module."];

/// Whether a name is that of a file of weights.
pub fn is_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| ENDINGS.iter().any(|known| end.eq_ignore_ascii_case(known)))
}

/// Where a tensor's values are.
enum Place {
    /// In a safetensors file, from that byte on.
    Safe {
        file: usize,
        dtype: Dtype,
        from: u64,
        bytes: usize,
    },
    Torch(TorchTensor),
}

struct Entry {
    shape: Vec<usize>,
    place: Place,
}

/// The tensors of one or several files. Their values stay in the files until they are asked for.
pub struct Tensors {
    paths: Vec<PathBuf>,
    entries: BTreeMap<String, Entry>,
}

/// What may stand in a tensor's place of values.
#[derive(Clone, Copy)]
enum Number {
    F64,
    F32,
    F16,
    Bf16,
}

impl Number {
    fn size(self) -> usize {
        match self {
            Number::F64 => 8,
            Number::F32 => 4,
            Number::F16 | Number::Bf16 => 2,
        }
    }

    fn all(self, bytes: &[u8]) -> Vec<f32> {
        let of = |chunk: &[u8]| match (self, chunk) {
            (Number::F64, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
            (Number::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Number::F16, &[a, b]) => half::f16::from_le_bytes([a, b]).to_f32(),
            (Number::Bf16, &[a, b]) => half::bf16::from_le_bytes([a, b]).to_f32(),
            (Number::F64 | Number::F32 | Number::F16 | Number::Bf16, _) => {
                unreachable!("chunks have the size of a number")
            }
        };
        bytes.chunks_exact(self.size()).map(of).collect()
    }
}

impl Tensors {
    /// Reads what tensors files have; those of later files are added to the first one's.
    ///
    /// # Errors
    /// A file cannot be read, is damaged or of another kind, or two files have a tensor of one name.
    pub fn open(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut all = Self { paths: paths.to_vec(), entries: BTreeMap::new() };
        for (index, path) in paths.iter().enumerate() {
            let bad = |reason: String| Error::Refused(format!("{}: {reason}", path.display()));
            let mut first = [0; 9];
            let mut file = File::open(path).map_err(Error::io(path, "read the weights"))?;
            let mut got = 0;
            while got < first.len() {
                match file.read(&mut first[got..]).map_err(Error::io(path, "read the weights"))? {
                    0 => break,
                    n => got += n,
                }
            }
            let found = if got == 9 && first[8] == b'{' {
                safe(&mut file, index).map_err(bad)?
            } else {
                torch(path).map_err(bad)?
            };
            for (name, entry) in found {
                if all.entries.contains_key(&name) {
                    return Err(bad(format!("tensor `{name}` is in two of the files")));
                }
                all.entries.insert(name, entry);
            }
        }
        Ok(all)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
    }

    /// Whether a tensor of that shape is there.
    pub fn has(&self, name: &str, shape: &[usize]) -> bool {
        self.shape(name) == Some(shape)
    }

    /// A few of the tensors in words, for messages.
    pub fn sample(&self) -> String {
        const SHOWN: usize = 6;
        let mut words: Vec<String> =
            self.entries.iter().take(SHOWN).map(|(n, e)| format!("{n} {:?}", e.shape)).collect();
        if self.entries.len() > SHOWN {
            words.push("..".into());
        }
        format!("{} tensors: {}", self.entries.len(), words.join(", "))
    }

    /// The values of a tensor of this shape as f32, row-major.
    ///
    /// # Errors
    /// It is missing, has another shape or no floating-point type, holds a value that is not finite, or cannot be read.
    pub fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let entry = self.entries.get(name).ok_or_else(|| format!("tensor `{name}` is missing"))?;
        if entry.shape != shape {
            return Err(format!("tensor `{name}` has shape {:?}, expected {shape:?}", entry.shape));
        }
        let unfit = |ty: String| format!("tensor `{name}` has type {ty}, expected floating-point numbers");
        let (number, bytes) = match &entry.place {
            Place::Safe { file, dtype, from, bytes } => {
                let number = match dtype {
                    Dtype::F64 => Number::F64,
                    Dtype::F32 => Number::F32,
                    Dtype::F16 => Number::F16,
                    Dtype::BF16 => Number::Bf16,
                    other => return Err(unfit(format!("{other:?}"))),
                };
                let mut values = vec![0; *bytes];
                let read = File::open(&self.paths[*file]).and_then(|mut file| {
                    file.seek(SeekFrom::Start(*from))?;
                    file.read_exact(&mut values)
                });
                read.map_err(|e| format!("tensor `{name}` cannot be read: {e}"))?;
                (number, values)
            }
            Place::Torch(tensor) => {
                let number = match tensor.dtype() {
                    TorchType::F64 => Number::F64,
                    TorchType::F32 => Number::F32,
                    TorchType::F16 => Number::F16,
                    TorchType::BF16 => Number::Bf16,
                    other @ (TorchType::I64
                    | TorchType::I32
                    | TorchType::I16
                    | TorchType::I8
                    | TorchType::U64
                    | TorchType::U32
                    | TorchType::U16
                    | TorchType::U8
                    | TorchType::Bool) => return Err(unfit(format!("{other:?}"))),
                };
                (number, tensor.read().map_err(|e| e.to_string())?)
            }
        };
        let values = number.all(&bytes);
        if values.len() != shape.iter().product::<usize>() {
            return Err(format!("tensor `{name}` has {} values, expected {shape:?}", values.len()));
        }
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(format!("tensor `{name}` holds {value}: the file is damaged")),
            None => Ok(values),
        }
    }
}

/// The header of a safetensors file: a length and JSON, which the crate checks; and that the values fill the file.
fn safe(file: &mut File, index: usize) -> Result<Vec<(String, Entry)>, String> {
    let io = |e: std::io::Error| format!("cannot be read: {e}");
    let whole = file.seek(SeekFrom::End(0)).map_err(io)?;
    file.rewind().map_err(io)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(io)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length + 8 > whole {
        return Err(format!("its header would have {length} bytes of the file's {whole}: it is damaged"));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(io)?;
    // Of a header alone the crate checks that tensors have the bytes of their shapes, one after the other.
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| format!("its header: {e}"))?;
    let begin = 8 + length;
    let end = metadata.tensors().values().map(|info| info.data_offsets.1 as u64).max().unwrap_or(0);
    if begin + end != whole {
        return Err(format!(
            "its header tells of {} bytes, the file has {whole}: it was cut off",
            begin + end
        ));
    }
    let entry = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (from, to) = info.data_offsets;
        let place =
            Place::Safe { file: index, dtype: info.dtype, from: begin + from as u64, bytes: to - from };
        (name, Entry { shape: info.shape.clone(), place })
    };
    Ok(metadata.tensors().into_iter().map(entry).collect())
}

/// A file of `torch.save`. The crate interprets the few opcodes that build dictionaries and tensors and refuses every other
/// one; it calls nothing that the file names.
fn torch(path: &Path) -> Result<Vec<(String, Entry)>, String> {
    let reader = PytorchReader::new(path).map_err(|e| {
        format!("neither a safetensors file nor one that torch.save wrote, or it is damaged: {e}")
    })?;
    let mut tensors: Vec<(String, TorchTensor)> = reader.into_tensors().into_iter().collect();
    for wrapper in WRAPPERS {
        // A checkpoint holds other things beside the state dict; what is not below the wrapper is none of the network's.
        if tensors.iter().any(|(name, _)| name.starts_with(wrapper)) {
            let inside = |(name, tensor): (String, TorchTensor)| {
                name.strip_prefix(wrapper).map(|rest| (rest.to_string(), tensor))
            };
            tensors = tensors.into_iter().filter_map(inside).collect();
        }
    }
    let entry = |(name, tensor): (String, TorchTensor)| {
        let shape = tensor.shape().to_vec();
        (name, Entry { shape, place: Place::Torch(tensor) })
    };
    Ok(tensors.into_iter().map(entry).collect())
}
