//! One image file: decoded whole, turned upright, cut and resized.
//!
//! Owns what a file's bytes mean and how a part of an image becomes an input of another size; not
//! which part (a random crop is `train::augment`'s), nor which files.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::DataError;

/// Longest side of a file's image.
const SIDE_MAX: u32 = 1 << 14;

/// The share of each side that evaluation keeps around the centre: 224 of 256, as in the paper's
/// ten-crop testing and in everyone's after it.
const CENTRE_SHARE: f64 = 0.875;

/// A rectangle of an image, in pixels; it may begin and end between two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Distance from the upper edge.
    pub top: f64,
    /// Distance from the left edge.
    pub left: f64,
    /// Rows.
    pub height: f64,
    /// Columns.
    pub width: f64,
}

impl Region {
    /// What evaluation looks at in an image of `[H,W]` for an input of `input`, `[H,W]`: the
    /// largest rectangle of the input's proportions about the centre, and of that 7/8 a side. To
    /// cut it out and resize it to the input is to resize the shorter side to 8/7 of the input's
    /// and to crop the centre.
    #[must_use]
    pub fn centre(image: [usize; 2], input: [usize; 2]) -> Self {
        let [rows, columns] = image.map(|side| side as f64);
        let [height, width] = input.map(|side| side as f64);
        let scale = CENTRE_SHARE * (rows / height).min(columns / width);
        let [height, width] = [height * scale, width * scale];
        Self { top: (rows - height) / 2.0, left: (columns - width) / 2.0, height, width }
    }
}

/// The memory that images go through on their way from files; each thread has its own.
#[derive(Debug, Default)]
pub struct Decoder {
    file: Vec<u8>,
    resizer: Resizer,
    /// An image `[H,W,C]` of the data set's shape.
    pub(super) image: Vec<u8>,
}

/// A decoded image.
pub(super) struct Picture {
    /// `[H,W]`.
    pub(super) size: [usize; 2],
    /// Whether the file has colours.
    pub(super) has_colour: bool,
    image: DynamicImage,
}

impl Decoder {
    /// A decoder without memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes a file.
    pub(super) fn open(&mut self, path: &Path) -> Result<Picture, DataError> {
        let (mut image, orientation) = self.decode(path).map_err(|reason| refuse(path, &reason))?;
        image.apply_orientation(orientation);
        let size = [image.height() as usize, image.width() as usize];
        Ok(Picture { size, has_colour: image.color().has_color(), image })
    }

    /// `[H,W]` of a file's image, of which only the header is looked at.
    pub(super) fn size_of(&mut self, path: &Path) -> Result<[usize; 2], DataError> {
        let sizes = self.header(path).and_then(|mut decoder| {
            let (width, height) = decoder.dimensions();
            let orientation = decoder.orientation().map_err(|error| error.to_string())?;
            let lies = matches!(
                orientation,
                Orientation::Rotate90
                    | Orientation::Rotate270
                    | Orientation::Rotate90FlipH
                    | Orientation::Rotate270FlipH
            );
            Ok(if lies { [width, height] } else { [height, width] })
        });
        sizes.map(|sizes| sizes.map(|side| side as usize)).map_err(|reason| refuse(path, &reason))
    }

    fn decode(&mut self, path: &Path) -> Result<(DynamicImage, Orientation), String> {
        let mut decoder = self.header(path)?;
        let orientation = decoder.orientation().map_err(|error| error.to_string())?;
        let image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
        // The JPEG decoder fills up with grey what a file lacks.
        if self.file.starts_with(&JPEG_START) && !jpeg_is_whole(&self.file) {
            return Err("the file breaks off".to_owned());
        }
        Ok((image, orientation))
    }

    fn header(&mut self, path: &Path) -> Result<impl ImageDecoder + '_, String> {
        self.file.clear();
        File::open(path)
            .and_then(|mut file| file.read_to_end(&mut self.file))
            .map_err(|error| error.to_string())?;
        let mut reader = ImageReader::new(Cursor::new(&self.file[..]))
            .with_guessed_format()
            .map_err(|error| error.to_string())?;
        match reader.format() {
            Some(ImageFormat::Png | ImageFormat::Jpeg) => {}
            _ => return Err("neither PNG nor JPEG".to_owned()),
        }
        let mut limits = image::Limits::default();
        limits.max_image_width = Some(SIDE_MAX);
        limits.max_image_height = Some(SIDE_MAX);
        reader.limits(limits);
        reader.into_decoder().map_err(|error| error.to_string())
    }

    /// `region` of a picture, resized to `out` of `[H,W,C]`, in which C is 1 (grey) or 3 (RGB).
    /// Each output pixel is a mean weighted by a triangle as wide as two of its own (bilinear with
    /// antialiasing, as Pillow's and torchvision's).
    pub(super) fn cut(
        &mut self,
        picture: Picture,
        region: Region,
        [height, width, channels]: [usize; 3],
        out: &mut [u8],
    ) -> Result<(), String> {
        let (size, target) = (picture.size, [height, width]);
        match channels {
            1 => {
                let pixels = picture.image.into_luma8().into_raw();
                resize::<U8>(&mut self.resizer, &pixels, size, region, out, target)
            }
            _ => {
                let pixels = picture.image.into_rgb8().into_raw();
                resize::<U8x3>(&mut self.resizer, &pixels, size, region, out, target)
            }
        }
    }
}

/// Resizes `region` of `pixels` of `[H,W]` into `out` of another `[H,W]`. For a type of pixels that
/// is known here: the library's function for any would be compiled for all of its fifteen.
fn resize<P: PixelTrait>(
    resizer: &mut Resizer,
    pixels: &[u8],
    size: [usize; 2],
    region: Region,
    out: &mut [u8],
    target: [usize; 2],
) -> Result<(), String> {
    let [[rows, columns], [height, width]] = [size, target].map(|size| size.map(|n| n as u32));
    let source = TypedImageRef::<P>::from_buffer(columns, rows, pixels);
    let source = source.map_err(|e| e.to_string())?;
    let target = TypedImage::<P>::from_buffer(width, height, out);
    let mut target = target.map_err(|e| e.to_string())?;
    let Region { top, left, height, width } = region;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, width, height);
    resizer.resize_typed(&source, &mut target, &options).map_err(|e| e.to_string())
}

impl Picture {
    /// All of it into `out`, `[H,W,C]` of its own size.
    pub(super) fn copy(self, channels: usize, out: &mut [u8]) {
        match channels {
            1 => out.copy_from_slice(self.image.into_luma8().as_raw()),
            _ => out.copy_from_slice(self.image.into_rgb8().as_raw()),
        }
    }
}

pub(super) fn refuse(path: &Path, reason: &str) -> DataError {
    let reason = reason.lines().next().unwrap_or_default().to_owned();
    DataError::UnreadableImage { path: path.display().to_string(), reason }
}

const JPEG_START: [u8; 2] = [0xff, 0xd8];

/// Whether a JPEG file goes on to the end of its image (ITU-T T.81, annex B): walks its segments
/// by their lengths, and its scans to the next marker, until «end of image».
fn jpeg_is_whole(file: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xd9;
    let mut at = JPEG_START.len();
    loop {
        let Some(found) = file[at..].iter().position(|&byte| byte == 0xff) else { return false };
        at += found + 1;
        let Some(&marker) = file.get(at) else { return false };
        match marker {
            END_OF_IMAGE => return true,
            // A stuffed zero, filling, restarts: no segment follows.
            0x00 | 0x01 | 0xd0..=0xd8 => at += 1,
            0xff => {}
            _ => {
                let Some(length) = file.get(at + 1..at + 3) else { return false };
                at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]]));
                if at > file.len() {
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
