use super::*;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

fn images(count: u32, height: u32, width: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    [count, height, width].iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
    bytes.extend((0..count * height * width).map(|i| (i * 37 % 251) as u8));
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn parsed(bytes: &[u8], role: Role) -> Result<IdxBytes, DataError> {
    parse(Path::new("some/file"), bytes, &bytes[..bytes.len().min(2)], bytes.len() as u64, role)
}

#[test]
fn plain_and_gzip_give_the_same_bytes() {
    // 1 x 1 x 1 is shorter than the first glimpse, 3 x 5 x 7 longer.
    for dims in [[1, 1, 1], [3, 5, 7]] {
        let file = images(dims[0], dims[1], dims[2]);
        let expected = IdxBytes { dims: dims.to_vec(), bytes: file[16..].to_vec() };
        assert_eq!(parsed(&file, Role::Images).unwrap(), expected);
        assert_eq!(parsed(&gzip(&file), Role::Images).unwrap(), expected);
    }
}

#[test]
fn every_truncation_says_what_was_expected() {
    let file = images(3, 5, 7);
    for cut in 0..file.len() {
        match parsed(&file[..cut], Role::Images) {
            Err(DataError::Truncated { expected, got, .. }) => {
                assert_eq!(got, cut as u64);
                assert_eq!(expected, if cut < 16 { 16 } else { file.len() as u64 }, "cut at {cut}");
            }
            // A bare `00 00 08` is not yet known to be all zeros; it is not IDX either.
            Err(DataError::NotIdx { .. }) => assert_eq!(cut, 3),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    let packed = gzip(&file);
    for cut in 2..packed.len() {
        assert!(matches!(parsed(&packed[..cut], Role::Images), Err(DataError::Gzip { .. })), "cut at {cut}");
    }
    // A sound gzip stream of a truncated file.
    let short = parsed(&gzip(&file[..50]), Role::Images);
    assert!(matches!(short, Err(DataError::Truncated { expected: 121, got: 50, .. })), "{short:?}");
}

#[test]
fn bytes_left_over_are_refused() {
    let mut file = images(2, 2, 2);
    file.push(0);
    assert!(matches!(
        parsed(&file, Role::Images),
        Err(DataError::Trailing { expected: 24, got: 25, at_least: false, .. })
    ));
    file.extend([0; 1000]);
    assert!(matches!(
        parsed(&gzip(&file), Role::Images),
        Err(DataError::Trailing { expected: 24, at_least: true, .. })
    ));
}

#[test]
fn a_byte_changed_in_gzip_never_changes_an_image() {
    let sound = images(3, 5, 7);
    let packed = gzip(&sound);
    let mut harmless = 0;
    for offset in 0..packed.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = packed.clone();
            damaged[offset] ^= flip;
            // The time stamp and a few unused bits carry no data; all else is caught by the checksum.
            if let Ok(read) = parsed(&damaged, Role::Images) {
                assert_eq!(read.bytes, sound[16..], "damage at {offset} went unseen");
                harmless += 1;
            }
        }
    }
    assert!(harmless < 30, "{harmless}");
}

#[test]
fn no_bytes_make_it_panic() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let starts: [&[u8]; 5] = [&[], &[0, 0, 8, 3], &[0, 0, 8, 1], &[0x1f, 0x8b, 8, 0], b"P6 28 28"];
    let mut outcomes = [0_u32; 2];
    for round in 0..20_000 {
        let mut bytes = starts[round % starts.len()].to_vec();
        bytes.extend(
            (0..next() % 40).map(|_| (next() >> 56) as u8 & if round % 2 == 0 { 0x03 } else { 0xff }),
        );
        for role in [Role::Images, Role::Labels] {
            let result = parsed(&bytes, role);
            outcomes[usize::from(result.is_ok())] += 1;
            if let Err(error) = result {
                assert!(error.to_string().len() > 20);
            }
        }
    }
    assert!(outcomes[0] > 1000, "{outcomes:?}");
}

#[test]
fn absurd_dimensions_are_refused_before_allocating() {
    let with = |dims: [u32; 3]| {
        let mut bytes = vec![0, 0, 8, 3];
        dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
        bytes
    };
    // 2^32 - 1 cubed overflows 64 bits; the second has sides in range; the third fits every limit but not the file.
    for dims in [[u32::MAX; 3], [u32::MAX, 8192, 8192], [2, 8193, 1]] {
        assert!(matches!(parsed(&with(dims), Role::Images), Err(DataError::TooLarge { .. })), "{dims:?}");
    }
    let claim = with([200_000, 28, 28]);
    assert!(matches!(parsed(&claim, Role::Images), Err(DataError::Truncated { got: 16, .. })));
    assert!(matches!(parsed(&gzip(&claim), Role::Images), Err(DataError::TooLarge { .. })));
}

#[test]
fn emptiness_type_axes_and_other_formats_are_named() {
    let text = |bytes: &[u8], role| parsed(bytes, role).unwrap_err().to_string();
    assert!(text(&images(0, 28, 28), Role::Images).contains("is empty: its header says 0 x 28 x 28"));
    assert!(text(&images(3, 0, 28), Role::Images).contains("3 x 0 x 28"));
    assert!(text(&[], Role::Images).contains("holds 0"));
    let floats = [0, 0, 0x0d, 3, 0, 0, 0, 1];
    assert!(text(&floats, Role::Images).contains("32-bit floats (IDX type 0x0d)"));
    let labels = [0, 0, 8, 1, 0, 0, 0, 2, 5, 0];
    assert!(text(&labels, Role::Images).contains("has 1 axes; images need 3; this is a label file"));
    assert_eq!(parsed(&labels, Role::Labels).unwrap().bytes, [5, 0]);
    assert!(text(&images(1, 1, 1), Role::Labels).contains("labels need 1; this is an image file"));
    assert!(
        text(b"label,pixel1,pixel2\n5,0,0\n", Role::Images)
            .contains("this is text, first bytes \"label,pixel1")
    );
    assert!(text("\u{e4}".repeat(40).as_bytes(), Role::Images).contains("this is text"));
    assert!(text(b"\x89PNG\r\n\x1a\n", Role::Images).contains("a PNG image"));
    assert!(text(&gzip(&gzip(&images(1, 1, 1))), Role::Images).contains("gzip within gzip"));
    assert!(text(&[0xde, 0xad, 0xbe, 0xef], Role::Images).contains("first bytes de ad be ef"));
}
