use super::idx::nearest_existing;
use crate::{
    bytes::{ByteImages, check_held},
    dataset::{Dataset, Reading},
    error::DataError,
    source::{OpenOptions, Source, Split},
    spec::Spec,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The binary files of CIFAR-10 and CIFAR-100 (Krizhevsky 2009).
///
/// A record is one label byte (CIFAR-100: the coarse label, then the fine one) and 32x32 bytes each of red, green and
/// blue, row by row. There is no header: a file is as many records as its length holds.
pub struct Cifar;

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const SHAPE: [usize; 3] = [SIDE, SIDE, 3];

/// Which of the two formats a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Ten,
    Hundred,
}

/// The labels of CIFAR-100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Labels {
    Fine,
    Coarse,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Ten => "CIFAR-10",
            Self::Hundred => "CIFAR-100",
        }
    }

    /// Label bytes before the pixels, each with the number of its classes.
    fn labels(self) -> &'static [u8] {
        match self {
            Self::Ten => &[10],
            Self::Hundred => &[20, 100],
        }
    }

    /// Bytes of a record.
    fn record(self) -> usize {
        self.labels().len() + 3 * PLANE
    }

    /// Which label byte is used.
    fn place(self, labels: Labels) -> usize {
        match (self, labels) {
            (Self::Ten, _) | (Self::Hundred, Labels::Coarse) => 0,
            (Self::Hundred, Labels::Fine) => 1,
        }
    }

    /// The file of class names beside the data.
    fn names_file(self, labels: Labels) -> &'static str {
        match (self, labels) {
            (Self::Ten, _) => "batches.meta.txt",
            (Self::Hundred, Labels::Fine) => "fine_label_names.txt",
            (Self::Hundred, Labels::Coarse) => "coarse_label_names.txt",
        }
    }
}

impl Source for Cifar {
    fn name(&self) -> &'static str {
        "cifar"
    }

    fn doc(&self) -> &'static str {
        "The binary files of CIFAR-10 and CIFAR-100, 32x32 RGB with labels: a folder with data_batch_1.bin.. and \
         test_batch.bin (or train.bin and test.bin), or one of these files."
    }

    fn example(&self) -> &'static str {
        "cifar-10-batches-bin/"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &[("labels", "of CIFAR-100: `fine` (100 classes) or `coarse` (20); fine")]
    }

    fn embedded(&self) -> bool {
        false
    }

    /// What holds such files, or is named like one where nothing exists.
    fn recognizes(&self, spec: &Spec<'_>) -> bool {
        let path = Path::new(spec.base());
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                let names = ["data_batch_1.bin", "test_batch.bin", "train.bin", "test.bin"];
                names.iter().any(|name| path.join(name).is_file()) || !batches(path).is_empty()
            }
            Ok(_) => path.extension().is_some_and(|end| end == "bin"),
            Err(_) => path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
                name.ends_with(".bin") || ["cifar-10-batches-bin", "cifar-100-binary"].contains(&name)
            }),
        }
    }

    fn open(&self, spec: &Spec<'_>, options: &OpenOptions) -> Result<Dataset, DataError> {
        let path = Path::new(spec.base());
        let which = match spec.value("labels") {
            None | Some("fine") => Labels::Fine,
            Some("coarse") => Labels::Coarse,
            Some(other) => return Err(spec.bad("labels", other, "`fine` or `coarse`")),
        };
        let (files, format) = match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => in_folder(path, options.split)?,
            Ok(metadata) => (vec![path.to_owned()], format_of(path, metadata.len())?),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(DataError::Missing {
                    path: path.to_owned(),
                    looked_for: "a binary file of CIFAR, or a folder with them".to_owned(),
                    nearest: nearest_existing(path),
                });
            }
            Err(source) => return Err(DataError::Read { path: path.to_owned(), source }),
        };
        if which == Labels::Coarse && format == Format::Ten {
            return Err(spec.bad("labels", "coarse", "`fine`, since CIFAR-10 has one label an image"));
        }
        let mut images = ByteImages { elements: 3 * PLANE, pixels: Vec::new(), labels: Some(Vec::new()) };
        let mut reading = Reading::default();
        for file in &files {
            let bytes = read(file, format)?;
            let count = append(&mut images, &bytes, format, which).map_err(|reason| refuse(file, reason))?;
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            reading.counts.push((format!("records of {name}"), count as u64));
        }
        let classes = usize::from(format.labels()[format.place(which)]);
        let folder = files[0].parent().unwrap_or(Path::new("."));
        let names = class_names(&folder.join(format.names_file(which)), classes)?;
        let hash = images.hash("color images", SHAPE);
        Ok(Dataset::new(spec.text(), &SHAPE, hash, Box::new(images))
            .with_classes(names)
            .with_reading(reading))
    }
}

fn refuse(path: &Path, reason: String) -> DataError {
    DataError::NotCifar { path: path.to_owned(), reason }
}

/// The numbers k of the files `data_batch_k.bin` of a folder, ascending.
fn batches(folder: &Path) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |name: String| name.strip_prefix("data_batch_")?.strip_suffix(".bin")?.parse().ok();
    let mut found: Vec<u32> = entries.filter_map(|e| number(e.file_name().to_str()?.to_owned())).collect();
    found.sort_unstable();
    found
}

/// The files of a split, in order.
fn in_folder(folder: &Path, split: Split) -> Result<(Vec<PathBuf>, Format), DataError> {
    let missing = |looked_for: &str| DataError::Missing {
        path: folder.to_owned(),
        looked_for: looked_for.to_owned(),
        nearest: Some(folder.to_owned()),
    };
    let (ten, hundred) = match split {
        Split::Train => (!batches(folder).is_empty(), folder.join("train.bin")),
        Split::Test => (folder.join("test_batch.bin").is_file(), folder.join("test.bin")),
    };
    match (ten, hundred.is_file(), split) {
        (true, true, _) => Err(refuse(
            folder,
            "holds files of both CIFAR-10 and CIFAR-100: name one of them, or put them into folders of their own"
                .to_owned(),
        )),
        (false, true, _) => Ok((vec![hundred], Format::Hundred)),
        (true, false, Split::Test) => Ok((vec![folder.join("test_batch.bin")], Format::Ten)),
        (true, false, Split::Train) => {
            let numbers = batches(folder);
            if let Some((gap, _)) = (1..).zip(&numbers).find(|(expected, number)| expected != *number) {
                return Err(missing(&format!(
                    "data_batch_{gap}.bin, since there is data_batch_{}.bin: the batches are numbered from 1 without a gap",
                    numbers[numbers.len() - 1]
                )));
            }
            let file = |number: &u32| folder.join(format!("data_batch_{number}.bin"));
            Ok((numbers.iter().map(file).collect(), Format::Ten))
        }
        (false, false, Split::Train) => Err(missing("data_batch_1.bin (CIFAR-10) or train.bin (CIFAR-100)")),
        (false, false, Split::Test) => Err(missing("test_batch.bin (CIFAR-10) or test.bin (CIFAR-100)")),
    }
}

/// The format of a file that is named itself: by its name, else by its length.
fn format_of(path: &Path, len: u64) -> Result<Format, DataError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.starts_with("data_batch") || name.starts_with("test_batch") {
        return Ok(Format::Ten);
    }
    if name == "train.bin" || name == "test.bin" {
        return Ok(Format::Hundred);
    }
    let whole = |format: Format| len > 0 && len.is_multiple_of(format.record() as u64);
    match (whole(Format::Ten), whole(Format::Hundred)) {
        (true, false) => Ok(Format::Ten),
        (false, true) => Ok(Format::Hundred),
        (true, true) | (false, false) => Err(refuse(
            path,
            format!(
                "its {len} bytes are no whole number of records of either CIFAR-10 ({} bytes each) or CIFAR-100 ({}): it \
                 is truncated, or no such file",
                Format::Ten.record(),
                Format::Hundred.record()
            ),
        )),
    }
}

/// The bytes of a file, a whole number of records and at least one.
fn read(path: &Path, format: Format) -> Result<Vec<u8>, DataError> {
    let failed = |source| DataError::Read { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    let record = format.record() as u64;
    check_held(path, metadata.len() / record, SHAPE, "this is no file of CIFAR's size")?;
    let bytes = fs::read(path).map_err(failed)?;
    match bytes.len() as u64 {
        0 => Err(refuse(path, format!("is empty: {} files hold records of {record} bytes", format.name()))),
        len if !len.is_multiple_of(record) => Err(refuse(
            path,
            format!(
                "is truncated, or no {} file: records take {record} bytes each, its {len} bytes are {} of them and {} \
                 bytes; fetch it again",
                format.name(),
                len / record,
                len % record
            ),
        )),
        _ => Ok(bytes),
    }
}

/// Adds the records in `bytes`, planes turned into pixels; returns how many there were.
fn append(images: &mut ByteImages, bytes: &[u8], format: Format, which: Labels) -> Result<usize, String> {
    let label_bytes = format.labels().len();
    images.pixels.reserve(bytes.len());
    for (number, record) in bytes.chunks_exact(format.record()).enumerate() {
        let (labels, planes) = record.split_at(label_bytes);
        for (&label, &classes) in labels.iter().zip(format.labels()) {
            if label >= classes {
                return Err(format!(
                    "record {number} has label {label}, and {} has labels 0 to {}: this is another file, or a damaged one",
                    format.name(),
                    classes - 1
                ));
            }
        }
        let (red, rest) = planes.split_at(PLANE);
        let (green, blue) = rest.split_at(PLANE);
        let pixels = red.iter().zip(green).zip(blue).flat_map(|((&r, &g), &b)| [r, g, b]);
        images.pixels.extend(pixels);
        if let Some(known) = &mut images.labels {
            known.push(u16::from(labels[format.place(which)]));
        }
    }
    Ok(bytes.len() / format.record())
}

/// The names in a file, one a line; the numbers where there is no such file.
fn class_names(path: &Path, classes: usize) -> Result<Vec<String>, DataError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((0..classes).map(|class| class.to_string()).collect());
        }
        Err(source) => return Err(DataError::Read { path: path.to_owned(), source }),
    };
    let names: Vec<String> =
        text.lines().map(|line| line.trim().to_owned()).filter(|l| !l.is_empty()).collect();
    if names.len() != classes {
        let got = names.len();
        return Err(refuse(path, format!("expected {classes} class names, one a line, got {got}")));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 7_u64;
        let mut outcomes = [0; 2];
        for round in 0..400 {
            let format = [Format::Ten, Format::Hundred][round % 2];
            let mut bytes = vec![0; format.record() * (round % 3)];
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
            // Half of the files with labels that may be.
            if round % 4 < 2 {
                bytes.chunks_mut(format.record()).for_each(|record| record[..2].fill(round as u8 % 10));
            }
            let mut images = ByteImages { elements: 3 * PLANE, pixels: Vec::new(), labels: Some(Vec::new()) };
            let result = append(&mut images, &bytes, format, Labels::Fine);
            outcomes[usize::from(result.is_ok())] += 1;
            if let Ok(count) = result {
                assert_eq!((images.pixels.len(), images.labels.unwrap().len()), (count * 3072, count));
            }
        }
        assert!(outcomes.iter().all(|&count| count > 50), "{outcomes:?}");
    }
}
