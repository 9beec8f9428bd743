//! Parts of sets, sets made of others, and sampling by class.

use ganymede_data::{Batch, DataError, Dataset, Loader, OpenOptions, Sampling, Split, inspect, open};
use std::{collections::HashSet, fs, sync::Arc};
use tempfile::TempDir;

/// A set of images 2 x 2 whose pixels are their index, with these labels.
fn idx(labels: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut images = vec![0, 0, 8, 3];
    [labels.len() as u32, 2, 2].iter().for_each(|dim| images.extend(dim.to_be_bytes()));
    images.extend((0..labels.len()).flat_map(|index| [index as u8; 4]));
    fs::write(folder.path().join("train-images-idx3-ubyte"), &images).unwrap();
    fs::write(folder.path().join("t10k-images-idx3-ubyte"), &images).unwrap();
    let mut file = vec![0, 0, 8, 1];
    file.extend((labels.len() as u32).to_be_bytes());
    file.extend(labels);
    fs::write(folder.path().join("train-labels-idx1-ubyte"), &file).unwrap();
    fs::write(folder.path().join("t10k-labels-idx1-ubyte"), file).unwrap();
    folder
}

fn try_open(spec: &str) -> Result<Dataset, String> {
    open(spec, &OpenOptions::default()).map_err(|error| error.to_string())
}

/// The set at a folder; `{}` in the pattern stands for it.
fn of(folder: &TempDir, pattern: &str) -> Result<Dataset, String> {
    try_open(&pattern.replace("{}", folder.path().to_str().unwrap()))
}

/// The original index of each item, and its label.
fn items(set: &Dataset) -> Vec<(u8, i32)> {
    let count = set.len().unwrap() as usize;
    let (mut data, mut labels) = (vec![0.0; count * set.elements()], vec![0; count]);
    set.fill(&(0..count as u64).collect::<Vec<_>>(), &mut data, Some(&mut labels)).unwrap();
    let index = |item: &[f32]| ((item[0] + 1.0) * 127.5).round() as u8;
    data.chunks(set.elements()).map(index).zip(labels).collect()
}

/// 120 items: 60 of class 0, 30 of class 1, 20 of class 2, 10 of class 3, mixed.
fn uneven() -> Vec<u8> {
    (0..120u32).map(|i| [0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 2][(i % 12) as usize]).collect()
}

#[test]
fn a_limit_keeps_the_classes_in_proportion_and_holds_smaller_limits() {
    let folder = idx(&uneven());
    let shares = [0.5, 0.25, 20.0 / 120.0, 10.0 / 120.0];
    let mut before: HashSet<(u8, i32)> = HashSet::new();
    for limit in 1..=120 {
        let set = of(&folder, &format!("{{}}?limit={limit}")).unwrap();
        let chosen = items(&set);
        assert_eq!(chosen.len(), limit);
        assert!(chosen.windows(2).all(|pair| pair[0].0 < pair[1].0), "in the order of the set");
        for (class, share) in shares.iter().enumerate() {
            let count = chosen.iter().filter(|(_, label)| *label == class as i32).count() as f64;
            assert!((count - share * limit as f64).abs() <= 1.0, "{limit}: {count} of class {class}");
        }
        let chosen: HashSet<_> = chosen.into_iter().collect();
        assert!(before.is_subset(&chosen), "{limit}");
        before = chosen;
    }
    assert!(before.iter().all(|&(index, label)| i32::from(uneven()[index as usize]) == label));
}

#[test]
fn a_limit_is_a_random_choice_that_no_seed_changes() {
    let folder = idx(&uneven());
    let spec = format!("{}?limit=30", folder.path().display());
    let chosen = |seed| items(&open(&spec, &OpenOptions { seed, ..OpenOptions::default() }).unwrap());
    assert_eq!(chosen(0), chosen(9));
    // Not the first of each class: the mean index of 30 of 120 at random is 59.5 with a deviation of sqrt(1200 (1 / 30 -
    // 1 / 120)) = 5.5 without regard to classes, of the first of each class 15.
    let mean = chosen(0).iter().map(|(index, _)| f64::from(*index)).sum::<f64>() / 30.0;
    assert!((mean - 59.5).abs() < 4.0 * 5.5, "{mean}");
    // Without labels too.
    let plain = tempfile::tempdir().unwrap();
    let name = "train-images-idx3-ubyte";
    fs::copy(folder.path().join(name), plain.path().join(name)).unwrap();
    let set = of(&plain, "{}?limit=7").unwrap();
    assert_eq!((set.len(), set.classes()), (Some(7), None));
}

#[test]
fn classes_are_chosen_by_name_or_number_and_numbered_anew() {
    let folder = idx(&uneven());
    let set = of(&folder, "{}?classes=3,1").unwrap();
    assert_eq!(set.classes().unwrap(), ["1", "3"]);
    let chosen = items(&set);
    assert_eq!(chosen.len(), 40);
    for (index, label) in chosen {
        assert_eq!([1, 3][label as usize], uneven()[index as usize]);
    }
    let report = inspect(&set).unwrap();
    assert_eq!(report.classes.unwrap(), [("1".to_owned(), 30), ("3".to_owned(), 10)]);
    let limited = of(&folder, "{}?classes=1,3&limit=8").unwrap();
    assert_eq!(items(&limited).iter().filter(|(_, label)| *label == 1).count(), 2);
    // A name comes before a number.
    let cifar = tempfile::tempdir().unwrap();
    let record: Vec<u8> = [4].into_iter().chain([0; 3072]).chain([0]).chain([9; 3072]).collect();
    fs::write(cifar.path().join("data_batch_1.bin"), record).unwrap();
    fs::write(cifar.path().join("batches.meta.txt"), "4\na & b\nc,d\nd\ne\nf\ng\nh\ni\nj").unwrap();
    assert_eq!(of(&cifar, "{}?classes=4").unwrap().labels_of_all().unwrap(), [0]);
    assert_eq!(of(&cifar, "{}?classes=e").unwrap().classes().unwrap(), ["e"]);
    assert_eq!(of(&cifar, "{}?classes=0, a %26 b").unwrap().classes().unwrap(), ["4", "a & b"]);
}

#[test]
fn parts_that_do_not_exist_are_refused() {
    let folder = idx(&uneven());
    for (parameters, words) in [
        ("limit=121", "limit=121, but the set has 120 items: ask for at most that"),
        ("limit=11&classes=3", "but the set has 10 items of these classes"),
        ("limit=0", "a whole number from 1"),
        ("limit=-3", "a whole number from 1"),
        ("limit=many", "a whole number from 1"),
        ("classes=4", "names or numbers of its 4 classes; there is no `4`"),
        ("classes=", "at least one class"),
        ("classes=1,1", "each class once, and `1` is there twice"),
        ("classes=0&classes=1", "the key once"),
        ("clases=1", "did you mean `classes`?"),
    ] {
        let error = of(&folder, &format!("{{}}?{parameters}")).unwrap_err();
        assert!(error.contains(words), "{parameters}: {error}");
    }
    let error = try_open("synthetic:ring8?classes=1&limit=5").unwrap_err();
    assert!(error.contains("known by all its modes"), "{error}");
    let error = try_open("glyphs?classes=1").unwrap_err();
    assert!(error.contains("no end: give `limit`"), "{error}");
    let error = try_open("glyphs?limit=99999999999").unwrap_err();
    assert!(error.contains("at most 16777216 items"), "{error}");
    // A class that the labels leave out.
    let gap = idx(&[0, 2, 2]);
    assert!(of(&gap, "{}?classes=1").unwrap_err().contains("none of its items is of these classes"));
}

#[test]
fn endless_sets_become_finite() {
    let all = open("glyphs", &OpenOptions::default()).unwrap();
    let some = try_open("glyphs?limit=50").unwrap();
    let (mut a, mut b) = (vec![0.0; 50 * 784], vec![0.0; 50 * 784]);
    let indices: Vec<u64> = (0..50).collect();
    all.fill(&indices, &mut a, None).unwrap();
    some.fill(&indices, &mut b, None).unwrap();
    assert_eq!((some.len(), a), (Some(50), b));
    let sevens = try_open("glyphs?limit=20&classes=7,2").unwrap();
    let labels = sevens.labels_of_all().unwrap();
    assert!(labels.len() == 20 && labels.contains(&0) && labels.contains(&1));
    assert_eq!(sevens.classes().unwrap(), ["2", "7"]);
    assert_eq!(all.labels(&indices).unwrap().iter().filter(|&&l| l == 7 || l == 2).count(), {
        let mut drawn = vec![0; 50];
        all.fill(&indices, &mut vec![0.0; 50 * 784], Some(&mut drawn)).unwrap();
        drawn.iter().filter(|&&l| l == 7 || l == 2).count()
    });
    let points = try_open("synthetic:ring8?limit=64").unwrap();
    assert!(points.len() == Some(64) && points.mixture().is_some());
}

#[test]
fn the_hash_knows_the_part() {
    let folder = idx(&uneven());
    let hash = |parameters: &str| of(&folder, &format!("{{}}{parameters}")).unwrap().hash();
    let parts = ["", "?limit=30", "?limit=31", "?classes=1", "?classes=1,2", "?classes=1&limit=10"];
    let hashes: HashSet<_> = parts.iter().map(|part| hash(part)).collect();
    assert_eq!(hashes.len(), parts.len());
    assert_eq!(hash("?classes=2,1"), hash("?classes=1,2"));
    assert_eq!(of(&folder, "{}?limit=30").unwrap().spec(), format!("{}?limit=30", folder.path().display()));
}

#[test]
fn stacks_are_three_items_with_the_number_of_three_digits() {
    let labels: Vec<u8> = (0..200).map(|i| (i % 10) as u8).collect();
    let folder = idx(&labels);
    let set = of(&folder, "stacked:{}?length=3000").unwrap();
    assert_eq!((set.len(), set.shape(), set.classes().unwrap().len()), (Some(3000), &[2, 2, 3][..], 1000));
    assert_eq!(set.classes().unwrap()[123], "123");
    let (mut data, mut got) = (vec![0.0; 3000 * 12], vec![0; 3000]);
    let indices: Vec<u64> = (0..3000).collect();
    set.fill(&indices, &mut data, Some(&mut got)).unwrap();
    let byte = |v: f32| ((v + 1.0) * 127.5).round() as usize;
    let mut counts = [[0u32; 10]; 3];
    for (item, label) in data.chunks(12).zip(&got) {
        let three = [0, 1, 2].map(|c| byte(item[c]));
        assert!(item.chunks(3).all(|pixel| pixel == &item[..3]), "each channel is one image");
        let digits = three.map(|index| i32::from(labels[index]));
        assert_eq!(*label, 100 * digits[0] + 10 * digits[1] + digits[2]);
        digits.iter().zip(&mut counts).for_each(|(&digit, counts)| counts[digit as usize] += 1);
    }
    // Each channel draws all digits evenly: Pearson's statistic with 9 degrees of freedom exceeds 27.9 with probability
    // .001.
    for counts in counts {
        let statistic: f64 = counts.iter().map(|&c| (f64::from(c) - 300.0).powi(2) / 300.0).sum();
        assert!(statistic < 27.9, "{counts:?}");
    }
    // Channels are independent: 3000 draws of 1000 modes miss each with probability e^-3.
    let modes = got.iter().collect::<HashSet<_>>().len() as f64;
    let expected = 1000.0 * (1.0 - (-3.0f64).exp());
    assert!((modes - expected).abs() < 4.0 * (1000.0 * (-3.0f64).exp()).sqrt(), "{modes} of {expected}");
    assert_eq!(set.labels(&indices).unwrap(), got);

    // Image i depends on i alone: not on the length, the seed, or what else is asked for.
    let longer = of(&folder, "stacked:{}").unwrap();
    assert_eq!(
        (longer.len(), longer.labels(&[7, 2999]).unwrap()),
        (Some(1_000_000), vec![got[7], got[2999]])
    );
    let spec = format!("stacked:{}?length=3000", folder.path().display());
    let other = open(&spec, &OpenOptions { seed: 4, ..OpenOptions::default() }).unwrap();
    let mut one = vec![0.0; 12];
    other.fill(&[2000], &mut one, None).unwrap();
    assert_eq!((&one[..], other.hash()), (&data[2000 * 12..][..12], set.hash()));
    assert_ne!(longer.hash(), set.hash());
    let test = open(&spec, &OpenOptions { split: Split::Test, ..OpenOptions::default() }).unwrap();
    assert_ne!(test.labels(&indices).unwrap(), got, "the held-out part is other draws");
}

#[test]
fn stacks_of_parts_and_parts_of_stacks() {
    let folder = idx(&uneven());
    let set = of(&folder, "stacked:({}?classes=0,3)?length=500").unwrap();
    assert_eq!((set.classes().unwrap().len(), set.len()), (8, Some(500)));
    assert_eq!(set.classes().unwrap()[5], "303");
    let part = of(&folder, "stacked:{}?length=5000&classes=000,123&limit=20").unwrap();
    assert_eq!((part.classes().unwrap(), part.len()), (&["000".to_owned(), "123".to_owned()][..], Some(20)));
    // The classes of the channels are known as long as labels are all their triples, and not of some renumbered ones.
    let channels = |pattern: &str| of(&folder, pattern).unwrap().channel_classes();
    assert_eq!((set.channel_classes(), part.channel_classes()), (Some(2), None));
    assert_eq!(channels("stacked:{}?length=5000&limit=20"), Some(4));
    let all: Vec<&str> = set.classes().unwrap().iter().map(String::as_str).collect();
    assert_eq!(
        channels(&format!("stacked:({{}}?classes=0,3)?length=500&classes={}", all.join(","))),
        Some(2)
    );
    assert_eq!(channels("{}"), None);
    let report = inspect(&of(&folder, "stacked:{}?length=640").unwrap()).unwrap().to_string();
    assert!(report.contains("64 classes, 000 to 333, with 0 to "), "{report}");
    let glyphs = try_open("stacked:glyphs?length=10").unwrap();
    assert_eq!((glyphs.shape(), glyphs.classes().unwrap().len()), (&[28, 28, 3][..], 1000));
    for (spec, words) in [
        ("stacked:", "name the set to stack"),
        ("stacked:synthetic:ring8", "stacks grey images, and those of synthetic:ring8 have shape [2]"),
        ("stacked:stacked:glyphs", "stacks grey images"),
        ("stacked:glyphs?length=0", "a whole number from 1"),
        ("stacked:glyhps", "did you mean `glyphs`?"),
        ("stacked:glyphs?size=8", "unknown parameter `size`"),
    ] {
        let error = try_open(spec).unwrap_err();
        assert!(error.contains(words), "{spec}: {error}");
    }
    let many = idx(&(0..=255).collect::<Vec<u8>>());
    assert!(of(&many, "stacked:{}").unwrap_err().contains("256 classes make 16777216 of three"));
}

fn serve(loader: &mut Loader, batches: usize) -> Vec<Batch> {
    (0..batches).map(|_| loader.next_batch().unwrap()).collect()
}

fn balanced(set: &Arc<Dataset>, batch: usize, seed: u64, cursor: u64) -> Loader {
    Loader::with_sampling(set.clone(), batch, seed, cursor, Sampling::ClassBalanced).unwrap()
}

#[test]
fn balanced_batches_show_each_class_equally_often_and_each_item_in_its_turn() {
    let folder = idx(&uneven());
    let set = Arc::new(of(&folder, "{}").unwrap());
    let batches = serve(&mut balanced(&set, 6, 3, 0), 80);
    let stream: Vec<(u8, i32)> = batches
        .iter()
        .flat_map(|batch| {
            let index = |item: &[f32]| ((item[0] + 1.0) * 127.5).round() as u8;
            batch.data.chunks(4).map(index).zip(batch.labels.clone().unwrap())
        })
        .collect();
    assert!(stream.iter().all(|&(index, label)| i32::from(uneven()[index as usize]) == label));
    for round in stream.chunks(4) {
        let classes: HashSet<i32> = round.iter().map(|(_, label)| *label).collect();
        assert_eq!(classes.len(), 4);
    }
    // 480 positions are 120 of each class: 2 epochs of its 60, 4 of its 30, 6 of its 20, 12 of its 10.
    for class in 0..4 {
        let own: Vec<u8> =
            stream.iter().filter(|(_, label)| *label == class).map(|(index, _)| *index).collect();
        let size = uneven().iter().filter(|&&label| i32::from(label) == class).count();
        for epoch in own.chunks(size) {
            assert_eq!(epoch.iter().collect::<HashSet<_>>().len(), size);
        }
    }
    assert_eq!(batches[79].epoch, 474 / 120);
}

#[test]
fn balanced_streams_depend_on_seed_and_position_alone() {
    let folder = idx(&uneven());
    let set = Arc::new(of(&folder, "{}").unwrap());
    let all = serve(&mut balanced(&set, 6, 3, 0), 60);
    let mut resumed = balanced(&set, 6, 3, all[24].cursor_after);
    assert_eq!(serve(&mut resumed, 35), all[25..]);
    let flat =
        |batches: Vec<Batch>| batches.into_iter().flat_map(|b| b.labels.unwrap()).collect::<Vec<i32>>();
    let whole = flat(all);
    assert_eq!(flat(serve(&mut balanced(&set, 40, 3, 0), 9)), whole);
    assert_ne!(flat(serve(&mut balanced(&set, 40, 4, 0), 9)), whole);
    let plain = Loader::new(set.clone(), 40, 3, 0).unwrap();
    assert_ne!(flat(serve(&mut { plain }, 9)), whole);
}

#[test]
fn balanced_sampling_needs_classes_and_an_end() {
    let refused = |spec: &str| {
        let set = Arc::new(open(spec, &OpenOptions::default()).unwrap());
        let error = Loader::with_sampling(set, 4, 0, 0, Sampling::ClassBalanced).err().unwrap();
        assert!(matches!(error, DataError::Unbalanced { .. }));
        error.to_string()
    };
    assert!(refused("glyphs").contains("choose a number of items with `limit`"));
    let folder = idx(&uneven());
    fs::remove_file(folder.path().join("train-labels-idx1-ubyte")).unwrap();
    assert!(refused(folder.path().to_str().unwrap()).contains("needs labels, and the set has none"));
    let some = Arc::new(try_open("glyphs?limit=100").unwrap());
    assert!(Sampling::ClassBalanced.check(&some).is_ok());
    // Classes without items are passed over.
    let gap = Arc::new(of(&idx(&[0, 2, 2, 5]), "{}").unwrap());
    let labels = serve(&mut balanced(&gap, 3, 0, 0), 4).into_iter().flat_map(|b| b.labels.unwrap());
    assert_eq!(labels.collect::<HashSet<_>>(), HashSet::from([0, 2, 5]));
}

#[test]
fn no_text_makes_opening_panic() {
    let words = [
        "glyphs",
        "stacked:",
        "(",
        ")",
        "?",
        "limit=",
        "limit=5",
        "classes=",
        "classes=0,3",
        "&",
        "&",
        "5",
        ",",
        "%",
        "%26",
        "size=8",
        "length=9",
        "/",
        "synthetic:ring8",
        "skip-bad",
        "ü",
        "=",
        "18446744073709551615",
    ];
    let (mut state, mut opened) = (5_u64, 0);
    for round in 0..6000 {
        let mut spec = String::new();
        for _ in 0..round % 6 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            spec += words[(state >> 33) as usize % words.len()];
        }
        for spec in [spec.clone(), format!("glyphs?{spec}"), format!("stacked:(glyphs?{spec})?length=4")] {
            if let Ok(set) = open(&spec, &OpenOptions::default()) {
                let mut item = vec![f32::NAN; set.elements()];
                set.fill(&[0], &mut item, None).unwrap();
                assert!(item.iter().all(|x| x.is_finite()), "{spec}");
                opened += 1;
            }
        }
    }
    assert!(opened > 300, "{opened}");
}
