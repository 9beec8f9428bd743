//! Animations read back by decoders: frames, times and pixels.

use ganymede::animation::{Animation, enlargement};
use std::io::Cursor;
use std::path::Path;

/// Frame `n` of `count`: a value for each place and channel, changing from frame to frame.
fn frame(n: usize, shape: [usize; 3]) -> Vec<f32> {
    (0..shape.iter().product()).map(|i| ((i * 7 + n * 31) % 256) as f32 / 127.5 - 1.0).collect()
}

fn bytes(sample: &[f32]) -> Vec<u8> {
    sample.iter().map(|v| ((v + 1.0) * 127.5).round() as u8).collect()
}

/// The bytes of `[height, width, channels]` with each pixel a square of `scale`.
fn enlarged(sample: &[u8], [height, width, channels]: [usize; 3], scale: usize) -> Vec<u8> {
    let at = |y: usize, x: usize| &sample[(y / scale * width + x / scale) * channels..][..channels];
    (0..height * scale).flat_map(|y| (0..width * scale).flat_map(move |x| at(y, x).to_vec())).collect()
}

fn write(path: &Path, shape: [usize; 3], frames: usize, fps: f64) -> Vec<u8> {
    let mut animation = Animation::new(path, &shape, 3, fps).unwrap();
    for n in 0..frames {
        animation.frame(&frame(n, shape)).unwrap();
    }
    animation.finish().unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn greys_of_a_gif_are_exact_and_its_times_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let shape = [5, 4, 1];
    let file = write(&folder.path().join("a.gif"), shape, 12, 30.0);
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(Cursor::new(file)).unwrap();
    assert_eq!((decoder.width(), decoder.height(), decoder.repeat()), (12, 15, gif::Repeat::Infinite));
    let mut delays = Vec::new();
    while let Some(found) = decoder.read_next_frame().unwrap() {
        let expected = enlarged(&bytes(&frame(delays.len(), shape)), shape, 3);
        let grey: Vec<u8> = found.buffer.chunks(4).map(|p| p[0]).collect();
        assert!(found.buffer.chunks(4).all(|p| p[0] == p[1] && p[1] == p[2] && p[3] == 255));
        assert_eq!(grey, expected, "frame {}", delays.len());
        delays.push(found.delay);
    }
    // Thirtieths in hundredths: no two in a row are as far off as if each were rounded by itself.
    assert_eq!(delays, [3, 4, 3, 3, 4, 3, 3, 4, 3, 3, 4, 3]);
}

#[test]
fn colours_of_a_gif_are_near_and_of_a_webp_exact() {
    let folder = tempfile::tempdir().unwrap();
    let shape = [6, 5, 3];
    let file = write(&folder.path().join("a.gif"), shape, 4, 10.0);
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(Cursor::new(file)).unwrap();
    let mut count = 0;
    while let Some(found) = decoder.read_next_frame().unwrap() {
        // 30 colours have places in a palette of 256.
        let expected = enlarged(&bytes(&frame(count, shape)), shape, 3);
        let colours: Vec<u8> = found.buffer.chunks(4).flat_map(|p| p[..3].to_vec()).collect();
        assert_eq!(colours, expected);
        count += 1;
    }
    assert_eq!(count, 4);

    for shape in [[6, 5, 3], [6, 5, 1]] {
        let file = write(&folder.path().join("a.webp"), shape, 7, 7.0);
        let mut decoder = image_webp::WebPDecoder::new(Cursor::new(file)).unwrap();
        assert!(decoder.is_animated());
        assert_eq!((decoder.dimensions(), decoder.num_frames()), ((15, 18), 7));
        assert!(matches!(decoder.loop_count(), image_webp::LoopCount::Forever));
        let mut pixels = vec![0; decoder.output_buffer_size().unwrap()];
        let channels = pixels.len() / (15 * 18);
        let mut whole = 0;
        for n in 0..7 {
            whole += decoder.read_frame(&mut pixels).unwrap();
            let expected = enlarged(&bytes(&frame(n, shape)), shape, 3);
            let found: Vec<u8> = pixels.chunks(channels).flat_map(|p| p[..shape[2]].to_vec()).collect();
            assert_eq!(found, expected, "frame {n}");
        }
        assert_eq!(whole, 1000, "seven sevenths of a second");
    }
}

#[test]
fn what_is_transparent_is_laid_on_white() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.webp");
    for (pixel, shown) in [
        (&[255u8, 0, 0, 128][..], [255, 127, 127]),
        (&[255, 0, 0, 0], [255, 255, 255]),
        (&[1, 2, 3, 255], [1, 2, 3]),
        (&[0, 255], [0, 0, 0]),
        (&[0, 51], [204, 204, 204]),
    ] {
        let sample: Vec<f32> = pixel.iter().map(|&b| f32::from(b) / 127.5 - 1.0).collect();
        let mut animation = Animation::new(&path, &[1, 1, pixel.len()], 2, 10.0).unwrap();
        animation.frame(&sample).unwrap();
        animation.finish().unwrap();
        let file = Cursor::new(std::fs::read(&path).unwrap());
        let mut decoder = image_webp::WebPDecoder::new(file).unwrap();
        let mut pixels = vec![0; decoder.output_buffer_size().unwrap()];
        decoder.read_frame(&mut pixels).unwrap();
        assert_eq!(pixels[..3], shown, "{pixel:?}");
    }
}

#[test]
fn what_no_animation_can_be_is_refused() {
    let refused = |path: &str, shape: &[usize], scale: usize, fps: f64| {
        Animation::new(Path::new(path), shape, scale, fps).err().unwrap().to_string()
    };
    assert!(refused("a.png", &[4, 4, 1], 1, 10.0).contains(".gif or .webp"));
    assert!(refused("a.gif", &[2], 1, 10.0).contains("no images"));
    assert!(refused("a.gif", &[4, 4, 1], 0, 10.0).contains("--scale"));
    assert!(refused("a.gif", &[4, 4, 1], 16_384, 10.0).contains("65536x65536"));
    assert!(refused("a.webp", &[4, 5, 1], 4096, 10.0).contains("20480x16384"));
    for fps in [0.0, 51.0, f64::NAN] {
        assert!(refused("a.gif", &[4, 4, 1], 1, fps).contains("frames a second"));
    }
    assert_eq!([enlargement(&[28, 28, 1]), enlargement(&[32, 64, 3]), enlargement(&[512, 8, 3])], [9, 4, 1]);
    let missing = Animation::new(Path::new("no/such/folder/a.gif"), &[1, 1, 1], 1, 10.0).unwrap();
    assert!(missing.finish().unwrap_err().to_string().contains("no/such/folder/a.gif: cannot write"));
}
