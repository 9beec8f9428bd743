use super::*;
use made::{encoded, jpeg, picture, png, png_file, with_orientation};

#[path = "../../../tests/common/pictures.rs"]
mod made;

fn decoded(bytes: &[u8]) -> Result<(DynamicImage, Found), String> {
    decode(bytes, &Mutex::new(()))
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for (whole, expected) in [(jpeg(24, 17, 1), None), (png(24, 17, 1), Some(picture(24, 17, 1)))] {
        let pixels = decoded(&whole).unwrap().0;
        assert_eq!((pixels.width(), pixels.height()), (24, 17));
        assert!(expected.is_none_or(|expected| expected == pixels));
        for cut in 0..whole.len() {
            let error = decoded(&whole[..cut]).map(|_| ()).expect_err("a part of a file is no picture");
            assert!(error.len() > 10, "{cut}: {error}");
        }
    }
}

#[test]
fn a_byte_changed_in_a_png_never_changes_its_pixels() {
    let whole = png(12, 9, 1);
    let pixels = decoded(&whole).unwrap().0;
    for at in 0..whole.len() {
        for flip in [0x01, 0x20, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= flip;
            if let Ok((got, _)) = decoded(&changed) {
                assert_eq!(got, pixels, "a change at {at} went unseen");
            }
        }
    }
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
    let grey = encoded(&picture(9, 7, 3).to_luma8().into(), ImageFormat::Jpeg);
    let files = [png(13, 9, 1), jpeg(13, 9, 1), grey, with_orientation(&jpeg(16, 8, 2), 6)];
    let mut outcomes = [0; 2];
    for round in 0..6000 {
        let mut bytes = files[round % files.len()].clone();
        match round / files.len() % 3 {
            // Changed bytes, exchanged parts, bytes of chance behind a sound start.
            0 => (0..=next() % 4).for_each(|_| {
                let at = next() as usize % bytes.len();
                bytes[at] = (next() >> 56) as u8;
            }),
            1 => {
                let (from, to) = (next() as usize % bytes.len(), next() as usize % bytes.len());
                bytes.truncate(from.max(1));
                bytes.extend(&files[(round + 1) % files.len()][to.min(20)..]);
            }
            _ => {
                bytes.truncate(next() as usize % 64);
                bytes.extend((0..next() % 64).map(|_| (next() >> 56) as u8));
            }
        }
        // Not through the guard, which would hide a panic of the decoder.
        let result = open(&bytes).map(|(_, header, _)| header.width);
        if result.is_ok() {
            let whole = decoded(&bytes).map(|_| ());
            assert!(whole.as_ref().err().is_none_or(|reason| !reason.contains("gave up")), "{bytes:?}");
        }
        outcomes[usize::from(result.is_ok())] += 1;
    }
    assert!(outcomes.iter().all(|&count| count > 300), "{outcomes:?}");
}

#[test]
fn sizes_are_capped_before_pixels_are_made() {
    let row = vec![vec![0; 10]];
    for size in [(40_000, 1), (1, 40_000), (20_000, 20_000), (u32::MAX >> 1, u32::MAX >> 1)] {
        let bomb = png_file(size, 8, 6, &[], &row);
        let error = header(&bomb).err().expect("too large");
        assert!(error.contains("most") || error.contains("cannot be decoded"), "{size:?}: {error}");
    }
    assert!(header(&png_file((0, 5), 8, 2, &[], &row)).is_err());
    // A frame header that claims what its few bytes cannot hold: within the limits, and grey or refused, never more memory.
    let mut lying = jpeg(16, 16, 0);
    let frame = lying.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    lying[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let error = header(&lying).err().expect("65535 x 65535");
    assert!(error.contains("65535 x 65535") && error.contains("32768"), "{error}");
}

#[test]
fn what_a_file_holds_is_found() {
    let found = |bytes: &[u8]| decoded(bytes).map(|(_, found)| found).unwrap();
    assert_eq!(found(&png(3, 3, 1)), Found::default());
    assert_eq!(found(&jpeg(3, 3, 1)), Found { jpeg: true, ..Found::default() });
    let grey = picture(5, 5, 1).to_luma8().into();
    assert_eq!(
        found(&encoded(&grey, ImageFormat::Jpeg)),
        Found { jpeg: true, grey: true, ..Found::default() }
    );
    let deep = DynamicImage::from(picture(5, 5, 1).to_rgba16());
    let expected = Found { sixteen_bit: true, alpha: true, ..Found::default() };
    assert_eq!(found(&encoded(&deep, ImageFormat::Png)), expected);
    // A palette of two colours with one of them transparent, two bits a pixel.
    let palette = (b"PLTE", vec![255, 0, 0, 0, 0, 255]);
    let file = png_file((4, 1), 2, 3, &[palette, (b"tRNS", vec![0])], &[vec![0b00_01_01_00]]);
    assert_eq!(found(&file), Found { palette: true, alpha: true, ..Found::default() });
    let pixels = decoded(&file).unwrap().0.to_rgba8();
    assert_eq!((pixels.get_pixel(0, 0).0, pixels.get_pixel(1, 0).0), ([255, 0, 0, 0], [0, 0, 255, 255]));
    // Grey of one bit, and an animation of one frame that is the picture itself.
    let control = (b"acTL", vec![0, 0, 0, 1, 0, 0, 0, 0]);
    let frame: Vec<u8> =
        [0u32, 8, 1, 0, 0].iter().flat_map(|v| v.to_be_bytes()).chain([0, 1, 0, 10, 0, 0]).collect();
    let file = png_file((8, 1), 1, 0, &[control, (b"fcTL", frame)], &[vec![0b1010_0000]]);
    assert_eq!(found(&file), Found { grey: true, animated: true, ..Found::default() });
}

#[test]
fn pictures_stand_upright() {
    // Dark on the left, bright on the right, as stored.
    let stored = DynamicImage::from(image::GrayImage::from_fn(32, 16, |x, _| {
        image::Luma([if x < 16 { 20 } else { 230 }])
    }));
    let file = encoded(&stored, ImageFormat::Jpeg);
    // Where the dark half is: left, right, top or bottom.
    for (orientation, dark) in
        [(1, 'l'), (2, 'r'), (3, 'r'), (4, 'l'), (5, 't'), (6, 't'), (7, 'b'), (8, 'b')]
    {
        let turned = with_orientation(&file, orientation);
        let (upright, found) = decoded(&turned).unwrap();
        let size = if orientation > 4 { (16, 32) } else { (32, 16) };
        assert_eq!((upright.width(), upright.height()), size, "{orientation}");
        let Header { width, height, .. } = header(&turned).unwrap();
        assert_eq!((width, height), size);
        assert_eq!(found.turned, orientation != 1);
        let grey = upright.to_luma8();
        let at = |x: u32, y: u32| grey.get_pixel(x, y)[0] < 128;
        let (w, h) = (size.0 - 1, size.1 - 1);
        let corners = [at(0, 0), at(w, 0), at(0, h), at(w, h)];
        let expected = match dark {
            'l' => [true, false, true, false],
            'r' => [false, true, false, true],
            't' => [true, true, false, false],
            _ => [false, false, true, true],
        };
        assert_eq!(corners, expected, "{orientation}");
    }
    // An orientation that does not exist leaves the picture as it is.
    assert!(!decoded(&with_orientation(&file, 9)).unwrap().1.turned);
}

#[test]
fn the_end_marker_of_a_thumbnail_is_not_that_of_the_picture() {
    let whole = jpeg(40, 30, 5);
    let mut with_thumbnail = whole[..2].to_vec();
    let thumbnail = jpeg(8, 8, 1);
    with_thumbnail.extend([0xff, 0xe1]);
    with_thumbnail.extend((thumbnail.len() as u16 + 2).to_be_bytes());
    with_thumbnail.extend(&thumbnail);
    with_thumbnail.extend(&whole[2..]);
    assert!(walk_jpeg(&with_thumbnail).ended);
    assert!(!walk_jpeg(&with_thumbnail[..with_thumbnail.len() - 2]).ended);
    assert_eq!(walk_jpeg(&whole), Stream { ended: true, components: Some(3) });
    // What a reader of bytes alone would find.
    let cut = &with_thumbnail[..with_thumbnail.len() - 2];
    assert!(cut.windows(2).any(|pair| pair == [0xff, 0xd9]));
}

#[test]
fn other_formats_are_named() {
    let said = |bytes: &[u8]| decoded(bytes).map(|_| ()).unwrap_err();
    assert!(said(b"GIF89a\x01\0\x01\0").contains("Gif image, and PNG and JPEG alone are read"));
    assert!(said(b"BM\x46\0\0\0").contains("Bmp image"));
    assert!(said(b"hello there").contains("neither PNG nor JPEG: it begins with 68 65 6c"));
    assert!(said(b"").contains("is empty"));
}
