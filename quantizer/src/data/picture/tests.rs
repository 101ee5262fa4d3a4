//! Files that are whole, upright and readable, and resizing against its definition in `f64`.

use image::codecs::jpeg::JpegEncoder;
use image::{ImageEncoder, Rgb, RgbImage};

use super::*;

/// Bytes of noise.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 9_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(next).collect()
}

/// The mean of pixels weighted by a triangle about an output pixel's centre, as wide as two of it.
fn weights(size: usize, begin: f64, length: f64, out: usize, at: usize) -> Vec<f64> {
    let scale = length / out as f64;
    let centre = begin + (at as f64 + 0.5) * scale;
    let weight = |x: usize| (1.0 - ((x as f64 + 0.5 - centre) / scale.max(1.0)).abs()).max(0.0);
    let weights: Vec<f64> = (0..size).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Within one step of the exact value: rounding to bytes between the two directions moves it by
/// half a step, coefficients of 16 bits by far less, and the last rounding both by half.
#[track_caller]
fn check_cut(size @ [rows, columns]: [usize; 2], region: Region, out: [usize; 3]) {
    let [height, width, channels] = out;
    let pixels = noise(rows * columns * channels);
    let image = match channels {
        1 => {
            image::GrayImage::from_raw(columns as u32, rows as u32, pixels.clone()).map(Into::into)
        }
        _ => RgbImage::from_raw(columns as u32, rows as u32, pixels.clone()).map(Into::into),
    };
    let picture = Picture { size, has_colour: channels == 3, image: image.unwrap() };
    let mut found = vec![0; height * width * channels];
    Decoder::new().cut(picture, region, out, &mut found).unwrap();
    for y in 0..height {
        let down = weights(rows, region.top, region.height, height, y);
        for x in 0..width {
            let across = weights(columns, region.left, region.width, width, x);
            for c in 0..channels {
                let mut exact = 0.0;
                for (row, down) in down.iter().enumerate() {
                    for (column, across) in across.iter().enumerate() {
                        let pixel = pixels[(row * columns + column) * channels + c];
                        exact += down * across * f64::from(pixel);
                    }
                }
                let found = f64::from(found[(y * width + x) * channels + c]);
                let what = format!("{size:?} {region:?} to {out:?}: {y} {x} {c}");
                assert!((found - exact).abs() <= 1.1, "{what}: {found}, {exact}");
            }
        }
    }
}

#[test]
fn regions_are_resized_by_the_triangle() {
    let region = |top, left, height, width| Region { top, left, height, width };
    check_cut([1, 1], region(0.0, 0.0, 1.0, 1.0), [3, 2, 3]);
    check_cut([4, 6], region(0.0, 0.0, 4.0, 6.0), [4, 6, 3]);
    check_cut([4, 6], region(1.0, 2.0, 2.0, 3.0), [5, 9, 1]);
    check_cut([31, 17], region(0.0, 0.0, 31.0, 17.0), [7, 5, 1]);
    check_cut([40, 33], Region::centre([40, 33], [9, 8]), [9, 8, 3]);
    check_cut([40, 33], region(39.0, 0.0, 1.0, 33.0), [6, 6, 3]);
}

#[track_caller]
fn check_centre(image: [usize; 2], input: [usize; 2], [top, left, height, width]: [f64; 4]) {
    let expected = Region { top, left, height, width };
    assert_eq!(Region::centre(image, input), expected, "{image:?} for {input:?}");
}

#[test]
fn the_centre_is_seven_eighths_of_the_shorter_side() {
    check_centre([256, 256], [224, 224], [16.0, 16.0, 224.0, 224.0]);
    check_centre([256, 512], [224, 224], [16.0, 144.0, 224.0, 224.0]);
    check_centre([512, 256], [224, 224], [144.0, 16.0, 224.0, 224.0]);
    check_centre([64, 64], [32, 16], [4.0, 18.0, 56.0, 28.0]);
    check_centre([8, 8], [224, 224], [0.5, 0.5, 7.0, 7.0]);
}

fn jpeg(image: &RgbImage, exif: Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut out, 95);
    if let Some(exif) = exif {
        encoder.set_exif_metadata(exif).unwrap();
    }
    encoder.encode_image(image).unwrap();
    out
}

#[test]
fn a_jpeg_that_breaks_off_is_not_whole() {
    let pixels = noise(40 * 24 * 3);
    let whole = jpeg(&RgbImage::from_raw(40, 24, pixels).unwrap(), Some(vec![0xff, 0xd9, 0xff]));
    assert!(jpeg_is_whole(&whole));
    assert!(jpeg_is_whole(&[&whole[..], &[0, 0xff, 0xda, 7]].concat()), "with bytes after it");
    for len in 2..whole.len() {
        assert!(!jpeg_is_whole(&whole[..len]), "{len} of {} bytes", whole.len());
    }
}

/// TIFF with the tag «orientation» alone (EXIF 2.3, 4.6.4).
fn orientation(value: u8) -> Vec<u8> {
    let entry = [0x12, 0x01, 3, 0, 1, 0, 0, 0, value, 0, 0, 0];
    [&b"II*\0\x08\0\0\0\x01\0"[..], &entry, &[0; 4]].concat()
}

/// The brightest corner of an image whose upper left corner is bright in the file.
#[track_caller]
fn check_upright(value: u8, size: [usize; 2], corner: [usize; 2]) {
    let image = RgbImage::from_fn(32, 16, |x, y| Rgb([if x < 8 && y < 8 { 250 } else { 5 }; 3]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1.jpg");
    std::fs::write(&path, jpeg(&image, Some(orientation(value)))).unwrap();
    let mut decoder = Decoder::new();
    assert_eq!(decoder.size_of(&path).unwrap(), size, "orientation {value}");
    let picture = decoder.open(&path).unwrap();
    assert_eq!(picture.size, size, "orientation {value}");
    let mut pixels = vec![0; 32 * 16];
    picture.copy(1, &mut pixels);
    let at =
        |[down, right]: [usize; 2]| pixels[down * (size[0] - 1) * size[1] + right * (size[1] - 1)];
    for other in [[0, 0], [0, 1], [1, 0], [1, 1]] {
        assert_eq!(at(other) > 128, other == corner, "orientation {value}, corner {other:?}");
    }
}

#[test]
fn images_are_turned_upright() {
    check_upright(1, [16, 32], [0, 0]);
    check_upright(3, [16, 32], [1, 1]);
    check_upright(6, [32, 16], [0, 1]);
    check_upright(8, [32, 16], [1, 0]);
}

#[track_caller]
fn check_refused(bytes: &[u8], words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1.jpg");
    std::fs::write(&path, bytes).unwrap();
    let errors = [
        Decoder::new().open(&path).err().unwrap().to_string(),
        // What the header does not show is found when the image is decoded.
        Decoder::new().size_of(&path).err().map_or_else(|| words.to_owned(), |e| e.to_string()),
    ];
    for error in errors {
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    }
}

#[test]
fn unreadable_files_are_named_with_the_reason() {
    check_refused(b"", "1.jpg is not a readable image: neither PNG nor JPEG");
    check_refused(b"GIF89a\x01\0\x01\0\0\0\0;", "neither PNG nor JPEG");
    check_refused(b"\xff\xd8\xff", "1.jpg is not a readable image");
    let whole = jpeg(&RgbImage::from_raw(40, 24, noise(40 * 24 * 3)).unwrap(), None);
    check_refused(&whole[..whole.len() / 2], "1.jpg is not a readable image");
    check_refused(&whole[..whole.len() - 1], "the file breaks off");
}
