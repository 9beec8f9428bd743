//! The binary files of CIFAR-10 and CIFAR-100.

use ganymede_data::{Dataset, OpenOptions, Split, inspect, open};
use std::{env, fs, path::Path};
use tempfile::TempDir;

/// Pixel value of a plane: tells records, planes, rows and columns apart.
fn value(record: usize, plane: usize, at: usize) -> u8 {
    (record * 31 + plane * 97 + at * 3) as u8
}

/// Records with these label bytes.
fn records(labels: &[&[u8]]) -> Vec<u8> {
    let record = |(number, labels): (usize, &&[u8])| {
        let planes = (0..3).flat_map(move |plane| (0..1024).map(move |at| value(number, plane, at)));
        labels.iter().copied().chain(planes).collect::<Vec<u8>>()
    };
    labels.iter().enumerate().flat_map(record).collect()
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
    folder
}

fn at(path: &Path, parameters: &str, split: Split) -> Result<Dataset, String> {
    let spec = format!("{}{parameters}", path.display());
    open(&spec, &OpenOptions { split, ..OpenOptions::default() }).map_err(|error| error.to_string())
}

const NAMES: &str = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

#[test]
fn batches_follow_each_other_with_names_and_planes_become_pixels() {
    let dir = folder(&[
        ("data_batch_2.bin", records(&[&[9], &[0]])),
        ("data_batch_1.bin", records(&[&[3]])),
        ("test_batch.bin", records(&[&[1], &[2], &[8], &[5]])),
        ("batches.meta.txt", NAMES.into()),
        ("readme.html", b"<html>".to_vec()),
    ]);
    let train = at(dir.path(), "", Split::Train).unwrap();
    assert_eq!((train.len(), train.shape()), (Some(3), &[32, 32, 3][..]));
    assert_eq!(train.classes().unwrap()[3], "cat");
    assert_eq!(train.labels_of_all().unwrap(), [3, 9, 0]);
    let (mut data, mut labels) = (vec![0.0; 2 * 3072], [0; 2]);
    train.fill(&[2, 0], &mut data, Some(&mut labels)).unwrap();
    assert_eq!(labels, [0, 3]);
    for (slot, record) in [(0, 1), (1, 0)] {
        for (i, got) in data[slot * 3072..][..3072].iter().enumerate() {
            assert_eq!(*got, f32::from(value(record, i % 3, i / 3)) / 127.5 - 1.0);
        }
    }
    let test = at(dir.path(), "", Split::Test).unwrap();
    assert_eq!(test.labels_of_all().unwrap(), [1, 2, 8, 5]);
    let mut label = [0];
    test.fill(&[2], &mut data[..3072], Some(&mut label)).unwrap();
    assert_eq!(label, [8]);
    assert_ne!(train.hash(), test.hash());
    assert_eq!(train.reading().counts[1], ("records of data_batch_2.bin".to_owned(), 2));
    // A file of its own, with the names that lie beside it.
    let one = at(&dir.path().join("test_batch.bin"), "", Split::Train).unwrap();
    assert_eq!((one.hash(), one.classes().unwrap().len()), (test.hash(), 10));
}

#[test]
fn cifar_100_has_fine_and_coarse_labels() {
    let mut fine: String = (0..100).map(|i| format!("fine{i}\n")).collect();
    let train = records(&[&[19, 99], &[4, 7]]);
    let dir = folder(&[
        ("train.bin", train.clone()),
        ("test.bin", records(&[&[0, 0]])),
        ("fine_label_names.txt", fine.clone().into()),
    ]);
    let set = at(dir.path(), "", Split::Train).unwrap();
    assert_eq!(
        (set.labels_of_all().unwrap(), &set.classes().unwrap()[99]),
        (vec![99, 7], &"fine99".to_owned())
    );
    let coarse = at(dir.path(), "?labels=coarse", Split::Train).unwrap();
    assert_eq!(coarse.labels_of_all().unwrap(), [19, 4]);
    assert_eq!(coarse.classes().unwrap()[19], "19", "numbers where there is no file of names");
    assert_ne!(set.hash(), coarse.hash());
    // Known by its length alone.
    fs::write(dir.path().join("other.bin"), &train).unwrap();
    assert_eq!(at(&dir.path().join("other.bin"), "", Split::Train).unwrap().hash(), set.hash());
    fine.push_str("one more\n");
    fs::write(dir.path().join("fine_label_names.txt"), fine).unwrap();
    let error = at(dir.path(), "", Split::Train).unwrap_err();
    assert!(error.contains("fine_label_names.txt: expected 100 class names, one a line, got 101"), "{error}");
}

#[test]
fn every_truncation_is_refused_with_figures() {
    let whole = records(&[&[3], &[4]]);
    let dir = folder(&[("data_batch_1.bin", whole.clone())]);
    let path = dir.path().join("data_batch_1.bin");
    // Every length near the ends of records, and every 97th between.
    let cuts = (0..whole.len()).filter(|cut| cut % 97 == 0 || cut % 3073 < 3 || cut % 3073 > 3070);
    for cut in cuts {
        fs::write(&path, &whole[..cut]).unwrap();
        match at(dir.path(), "", Split::Train) {
            Ok(set) => assert_eq!((cut, set.len()), (3073, Some(1)), "a whole record is a set"),
            Err(error) => {
                let figures = format!("its {cut} bytes are {} of them and {} bytes", cut / 3073, cut % 3073);
                assert!(
                    error.contains(&figures) || (cut == 0 && error.contains("is empty")),
                    "{cut}: {error}"
                );
            }
        }
    }
}

#[test]
fn files_that_are_something_else_are_refused() {
    let said = |files: &[(&str, Vec<u8>)], parameters: &str, split| {
        at(folder(files).path(), parameters, split).unwrap_err()
    };
    let ten = records(&[&[3]]);
    let error = said(&[("data_batch_1.bin", records(&[&[3], &[10]]))], "", Split::Train);
    assert!(error.contains("record 1 has label 10, and CIFAR-10 has labels 0 to 9"), "{error}");
    let error = said(&[("train.bin", records(&[&[20, 3]]))], "", Split::Train);
    assert!(error.contains("record 0 has label 20, and CIFAR-100 has labels 0 to 19"), "{error}");
    let error =
        said(&[("data_batch_1.bin", ten.clone()), ("data_batch_3.bin", ten.clone())], "", Split::Train);
    assert!(error.contains("looked for data_batch_2.bin, since there is data_batch_3.bin"), "{error}");
    let error = said(&[("data_batch_1.bin", ten.clone())], "", Split::Test);
    assert!(error.contains("looked for test_batch.bin (CIFAR-10) or test.bin (CIFAR-100)"), "{error}");
    let error =
        said(&[("data_batch_1.bin", ten.clone()), ("train.bin", records(&[&[1, 2]]))], "", Split::Train);
    assert!(error.contains("files of both CIFAR-10 and CIFAR-100"), "{error}");
    let error = said(
        &[("data_batch_1.bin", ten.clone()), ("batches.meta.txt", b"one\ntwo\n".to_vec())],
        "",
        Split::Train,
    );
    assert!(error.contains("expected 10 class names, one a line, got 2"), "{error}");
    let error = said(&[("data_batch_1.bin", ten.clone())], "?labels=coarse", Split::Train);
    assert!(error.contains("CIFAR-10 has one label an image"), "{error}");
    let error = said(&[("data_batch_1.bin", ten.clone())], "?label=fine", Split::Train);
    assert!(error.contains("did you mean `labels`?"), "{error}");
    let dir = folder(&[("some.bin", vec![0; 5000])]);
    let error = at(&dir.path().join("some.bin"), "", Split::Train).unwrap_err();
    assert!(error.contains("5000 bytes are no whole number of records of either"), "{error}");
    let error = at(&dir.path().join("cifar-10-batches-bin"), "", Split::Train).unwrap_err();
    assert!(error.contains("no data at") && error.contains("a binary file of CIFAR"), "{error}");
}

/// The published files, where GANYMEDE_DATA names the folder that holds `cifar-10-batches-bin`.
#[test]
fn published_files_open_with_their_figures() {
    let Some(root) = env::var_os("GANYMEDE_DATA") else {
        println!("GANYMEDE_DATA is not set: the published files were not checked");
        return;
    };
    let path = Path::new(&root).join("cifar-10-batches-bin");
    let set = at(&path, "", Split::Train).unwrap();
    // The first images of the first batch: a frog, two trucks, a deer.
    let names: Vec<&str> = set
        .labels(&[0, 1, 2, 3])
        .unwrap()
        .iter()
        .map(|&label| set.classes().unwrap()[label as usize].as_str())
        .collect();
    assert_eq!(names, ["frog", "truck", "truck", "deer"]);
    let mut data = vec![0.0; 3072];
    set.fill(&[0], &mut data, None).unwrap();
    let first: Vec<u8> = data[..3].iter().map(|v| ((v + 1.0) * 127.5).round() as u8).collect();
    assert_eq!(first, [59, 62, 63], "the first pixel of the training set");
    let report = inspect(&set).unwrap();
    // Published means of the training set are .4914, .4822, .4465: together .4734. A part of it is near.
    assert!(((report.mean + 1.0) / 2.0 - 0.4734).abs() < 0.01, "{}", report.mean);
    assert_eq!(report.count, Some(report.classes.unwrap().iter().map(|(_, n)| n).sum()));
    assert_eq!(
        at(&path, "", Split::Test).unwrap().labels(&[0]).unwrap(),
        [3],
        "the first test image is a cat"
    );
}
