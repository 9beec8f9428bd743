//! The IDX format of MNIST: 00 00, a type byte, the number of axes, each axis as a big-endian u32, then the elements.

use crate::error::DataError;
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

/// The longest side of an image.
pub const MAX_SIDE: u32 = 8192;

/// The most bytes of one file, inflated: 16 GiB.
pub const MAX_BYTES: u64 = 1 << 34;

/// No gzip stream inflates to more than this multiple of itself (a deflate match of 258 bytes takes at least 2 bits).
const MAX_INFLATION: u64 = 1032;

/// What a file is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Three axes: count, height, width.
    Images,
    /// One axis: count.
    Labels,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Labels => "labels",
        }
    }

    fn rank(self) -> usize {
        match self {
            Self::Images => 3,
            Self::Labels => 1,
        }
    }

    fn rank_hint(self, rank: usize) -> &'static str {
        match (self, rank) {
            (Self::Images, 1) => {
                "; this is a label file: give the image file (`...-images-idx3-ubyte`) or the folder"
            }
            (Self::Labels, 3) => "; this is an image file where a label file should be",
            (Self::Images | Self::Labels, _) => "",
        }
    }
}

/// A checked IDX file of unsigned bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxBytes {
    /// The length of each axis.
    pub dims: Vec<u32>,
    /// The elements, row-major.
    pub bytes: Vec<u8>,
}

/// Reads and checks a file, plain or gzip (told apart by its first bytes, not by its name).
///
/// # Errors
/// Everything that can be wrong with such a file, as [`DataError`]. Nothing is allocated that the file cannot fill.
pub fn read(path: &Path, role: Role) -> Result<IdxBytes, DataError> {
    let failed = |source| DataError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    let mut start = Vec::new();
    file.by_ref().take(2).read_to_end(&mut start).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    parse(path, BufReader::with_capacity(1 << 16, file), &start, metadata.len(), role)
}

/// Reads `stored_len` stored bytes that begin with `start`.
fn parse(
    path: &Path,
    stored: impl Read,
    start: &[u8],
    stored_len: u64,
    role: Role,
) -> Result<IdxBytes, DataError> {
    if start == [0x1f, 0x8b] {
        let limit = stored_len.saturating_mul(MAX_INFLATION);
        let mut inflated = Inflated { path, inner: MultiGzDecoder::new(stored), gzip: true, got: 0 };
        inflated.idx(role, Length::AtMost(limit))
    } else {
        Inflated { path, inner: stored, gzip: false, got: 0 }.idx(role, Length::Exactly(stored_len))
    }
}

/// What is known of the length of a stream before it is read.
enum Length {
    Exactly(u64),
    AtMost(u64),
}

/// A stream that counts its bytes and names its file in errors.
struct Inflated<'a, R> {
    path: &'a Path,
    inner: R,
    gzip: bool,
    got: u64,
}

impl<R: Read> Inflated<'_, R> {
    fn idx(&mut self, role: Role, length: Length) -> Result<IdxBytes, DataError> {
        // Long enough for the header of the most axes read here, and for a glimpse of what else it may be.
        let mut bytes = self.take(64, Vec::new())?;
        let rank = self.check_magic(&bytes, role)?;
        let header_len = 4 + 4 * rank;
        if bytes.len() < header_len {
            return Err(self.truncated(format!("{rank} axes"), header_len as u64));
        }
        let dims: Vec<u32> = bytes[4..header_len]
            .chunks_exact(4)
            .map(|axis| u32::from_be_bytes([axis[0], axis[1], axis[2], axis[3]]))
            .collect();
        let header = written(&dims);
        let expected = self.total(&dims, role, header_len as u64)?;
        match length {
            Length::Exactly(len) if len < expected => {
                self.got = len;
                return Err(self.truncated(header, expected));
            }
            Length::Exactly(len) if len > expected => return Err(self.trailing(header, expected, len, false)),
            Length::AtMost(limit) if limit < expected => {
                let reason = format!("a gzip file of its size inflates to {limit} bytes at most");
                return Err(self.too_large(&dims, reason));
            }
            Length::Exactly(_) | Length::AtMost(_) => {}
        }
        bytes = self.take(expected + 1 - bytes.len().min(expected as usize) as u64, bytes)?;
        if self.got < expected {
            return Err(self.truncated(header, expected));
        }
        if self.got > expected {
            return Err(self.trailing(header, expected, self.got, true));
        }
        bytes.drain(..header_len);
        Ok(IdxBytes { dims, bytes })
    }

    /// Appends up to `count` bytes.
    fn take(&mut self, count: u64, mut bytes: Vec<u8>) -> Result<Vec<u8>, DataError> {
        // A large file grows the buffer as its bytes really arrive.
        bytes.reserve(count.min(1 << 26) as usize);
        let before = bytes.len();
        let result = self.inner.by_ref().take(count).read_to_end(&mut bytes);
        self.got += (bytes.len() - before) as u64;
        match result {
            Ok(_) => Ok(bytes),
            Err(source) if self.gzip && is_damage(source.kind()) => {
                Err(DataError::Gzip { path: self.path.to_owned(), got: self.got, source })
            }
            Err(source) => Err(DataError::Read { path: self.path.to_owned(), source }),
        }
    }

    /// Checks the first four bytes and returns the number of axes.
    fn check_magic(&self, head: &[u8], role: Role) -> Result<usize, DataError> {
        let path = || self.path.to_owned();
        let &[zero, nought, dtype, rank] = head.first_chunk::<4>().unwrap_or(&[0xff; 4]);
        let all_zero_so_far = head.len() < 4 && head.iter().all(|&byte| byte == 0);
        if all_zero_so_far {
            return Err(self.truncated("incomplete".to_owned(), 4 + 4 * role.rank() as u64));
        }
        let found = match dtype {
            0x08 => "unsigned bytes",
            0x09 => "signed bytes",
            0x0b => "16-bit integers",
            0x0c => "32-bit integers",
            0x0d => "32-bit floats",
            0x0e => "64-bit floats",
            _ => "",
        };
        if zero != 0 || nought != 0 || found.is_empty() || rank == 0 {
            return Err(DataError::NotIdx { path: path(), found: describe(head) });
        }
        if dtype != 0x08 {
            return Err(DataError::IdxType { path: path(), dtype, found });
        }
        let (got, expected) = (usize::from(rank), role.rank());
        if got != expected {
            let hint = role.rank_hint(got).to_owned();
            return Err(DataError::IdxRank { path: path(), role: role.name(), expected, got, hint });
        }
        Ok(got)
    }

    /// Header and elements in bytes, if the dimensions are those of a real set.
    fn total(&self, dims: &[u32], role: Role, header_len: u64) -> Result<u64, DataError> {
        // Labels of no items are left to the comparison with their images, which says more.
        if role == Role::Images && dims.contains(&0) {
            return Err(DataError::Empty { path: self.path.to_owned(), dims: written(dims) });
        }
        if let Some(side) = dims.iter().skip(1).find(|&&side| side > MAX_SIDE) {
            return Err(self.too_large(dims, format!("a side of {side} is above the limit of {MAX_SIDE}")));
        }
        let total = dims.iter().try_fold(1_u64, |product, &dim| product.checked_mul(u64::from(dim)));
        match total.and_then(|total| total.checked_add(header_len)) {
            Some(total) if total <= MAX_BYTES => Ok(total),
            Some(_) | None => Err(self.too_large(dims, format!("more than the limit of {MAX_BYTES} bytes"))),
        }
    }

    fn truncated(&self, header: String, expected: u64) -> DataError {
        DataError::Truncated { path: self.path.to_owned(), header, expected, got: self.got }
    }

    fn trailing(&self, header: String, expected: u64, got: u64, at_least: bool) -> DataError {
        DataError::Trailing { path: self.path.to_owned(), header, expected, got, at_least }
    }

    fn too_large(&self, dims: &[u32], reason: String) -> DataError {
        DataError::TooLarge { path: self.path.to_owned(), dims: written(dims), reason }
    }
}

/// Whether an error of the decoder means that the stream, not the disk, is at fault.
fn is_damage(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn written(dims: &[u32]) -> String {
    dims.iter().map(u32::to_string).collect::<Vec<_>>().join(" x ")
}

/// What a file that is not IDX seems to be.
fn describe(head: &[u8]) -> String {
    const SIGNATURES: &[(&[u8], &str)] = &[
        (b"\x89PNG", "a PNG image: pictures are read by the folder that they are in"),
        (b"\xff\xd8\xff", "a JPEG image: pictures are read by the folder that they are in"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "gzip within gzip"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x89HDF", "an HDF5 file"),
        (b"%PDF", "a PDF document"),
    ];
    if let Some((_, name)) = SIGNATURES.iter().find(|(start, _)| head.starts_with(start)) {
        return format!("this is {name}");
    }
    // A character cut at the end of the glimpse is no fault of the text.
    let text = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    let is_text =
        |text: &&str| !text.is_empty() && text.chars().all(|c| !c.is_control() || c.is_whitespace());
    match text.filter(is_text) {
        Some(text) => format!("this is text, first bytes {:?}", text.chars().take(24).collect::<String>()),
        None => {
            let bytes: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("first bytes {}", bytes.join(" "))
        }
    }
}

#[cfg(test)]
mod tests;
