//! Encoded bytes to pixels: JPEG and PNG, told apart by their first bytes

use std::io::Cursor;
use std::sync::{Mutex, MutexGuard, PoisonError};

use png::{BitDepth, ColorType, Transformations};
use thiserror::Error;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::orientation::Orientation;
use crate::{Exif, Image};

pub(crate) mod header;

/// Pixels an image may have: what a header claims is allocated only up to here (192 MiB of RGB).
pub(crate) const MAX_PIXELS: usize = 1 << 26;

/// Why encoded bytes are not an image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The first bytes are neither a JPEG's nor a PNG's.
    #[error("neither JPEG nor PNG: starts with {start:02x?}; convert the image")]
    Format {
        /// Up to four bytes.
        start: Vec<u8>,
    },
    /// The header asks for more pixels than any image here should have.
    #[error("{width} x {height} pixels, at most {MAX_PIXELS} allowed; scale the image down")]
    TooManyPixels {
        /// Width in the header.
        width: usize,
        /// Height in the header.
        height: usize,
    },
    /// An image without its end marker. Decoders fill the missing part with gray.
    #[error("truncated {kind}: no end marker in {length} bytes; fetch the file again")]
    Truncated {
        /// JPEG or PNG.
        kind: &'static str,
        /// Bytes there are.
        length: usize,
    },
    /// The JPEG decoder gave up.
    #[error("damaged JPEG: {0}")]
    Jpeg(String),
    /// The PNG decoder gave up.
    #[error("damaged PNG: {0}")]
    Png(#[from] png::DecodingError),
    /// A mask holds one class a pixel, so colours and 16 bits are not masks.
    #[error("a mask is a gray or palette PNG of at most 8 bits, found {found}; convert the mask")]
    MaskFormat {
        /// What the file holds.
        found: String,
    },
}

/// Pixels of an image that is decoded while no other such one is: decoders take several bytes for each pixel, and every thread has one at work.
const LARGE: usize = 1 << 23;

/// Held while a large image is decoded.
static LARGE_ONE: Mutex<()> = Mutex::new(());

/// Waits for other large images, if this is one.
fn alone(width: usize, height: usize) -> Option<MutexGuard<'static, ()>> {
    (width.saturating_mul(height) > LARGE).then(|| LARGE_ONE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Decodes a JPEG or PNG to one gray or three RGB channels of 8 bits. Palettes become colours,
/// alpha is dropped, 16 bits keep their upper eight.
pub(crate) fn image(bytes: &[u8]) -> Result<Image, DecodeError> {
    if bytes.starts_with(&[0xff, 0xd8]) {
        jpeg(bytes)
    } else if is_png(bytes) {
        png_image(bytes)
    } else {
        Err(DecodeError::Format { start: bytes.iter().take(4).copied().collect() })
    }
}

/// Decodes an image as [`image`] does, with the way to turn it upright where that is asked for.
pub(crate) fn oriented(bytes: &[u8], exif: Exif) -> Result<(Image, Orientation), DecodeError> {
    let orientation = match exif {
        Exif::Apply => header::orientation(bytes),
        Exif::Ignore => Orientation::default(),
    };
    Ok((image(bytes)?, orientation))
}

/// Decodes a mask: the stored numbers of a gray PNG, or the indices of a palette, as classes.
pub(crate) fn mask(bytes: &[u8]) -> Result<Image, DecodeError> {
    if !is_png(bytes) {
        return Err(DecodeError::MaskFormat { found: "another format".into() });
    }
    let (mut mask, color, depth) = png_pixels(bytes, Transformations::IDENTITY)?;
    let bits = depth as usize;
    if !matches!(color, ColorType::Grayscale | ColorType::Indexed) || bits > 8 {
        let color = match color {
            ColorType::Grayscale => "gray values",
            ColorType::GrayscaleAlpha => "gray values with alpha",
            ColorType::Indexed => "palette indices",
            ColorType::Rgb => "colours",
            ColorType::Rgba => "colours with alpha",
        };
        return Err(DecodeError::MaskFormat { found: format!("{color} of {bits} bits") });
    }
    if bits < 8 {
        mask.pixels = unpack(&mask.pixels, mask.width, bits);
    }
    Ok(mask)
}

fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG")
}

fn check_size(width: usize, height: usize) -> Result<(), DecodeError> {
    match width.checked_mul(height) {
        Some(1..=MAX_PIXELS) => Ok(()),
        _ => Err(DecodeError::TooManyPixels { width, height }),
    }
}

fn jpeg(bytes: &[u8]) -> Result<Image, DecodeError> {
    // The decoder is lenient, as files in the wild hold odd markers; a missing end is another matter.
    if !bytes.windows(2).rev().any(|pair| pair == [0xff, 0xd9]) {
        return Err(DecodeError::Truncated { kind: "JPEG", length: bytes.len() });
    }
    let failed = |error: zune_jpeg::errors::DecodeErrors| DecodeError::Jpeg(error.to_string().replace('"', ""));
    let options =
        DecoderOptions::default().set_strict_mode(false).set_max_width(usize::from(u16::MAX)).set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(failed)?;
    let (width, height) = decoder.dimensions().unwrap_or((0, 0));
    check_size(width, height)?;
    let _alone = alone(width, height);
    let gray = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let space = if gray { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let mut image = Image::black(height, width, if gray { 1 } else { 3 });
    decoder.decode_into(&mut image.pixels).map_err(failed)?;
    Ok(image)
}

fn png_image(bytes: &[u8]) -> Result<Image, DecodeError> {
    let (image, color, _) = png_pixels(bytes, Transformations::EXPAND | Transformations::STRIP_16)?;
    let (stored, kept) = match color {
        ColorType::GrayscaleAlpha => (2, 1),
        ColorType::Rgba => (4, 3),
        _ => return Ok(image),
    };
    // In place: a large image is not there twice.
    let (mut pixels, count) = (image.pixels, image.height * image.width);
    for at in 0..count {
        pixels.copy_within(at * stored..at * stored + kept, at * kept);
    }
    pixels.truncate(count * kept);
    Ok(Image { pixels, channels: kept, ..image })
}

/// The bytes of a PNG after `transformations`, with what they are.
fn png_pixels(bytes: &[u8], transformations: Transformations) -> Result<(Image, ColorType, BitDepth), DecodeError> {
    let limits = png::Limits { bytes: 8 * MAX_PIXELS };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(transformations);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info()?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    check_size(width, height)?;
    let _alone = alone(width, height);
    let (color, depth) = reader.output_color_type();
    let size = reader.output_buffer_size().ok_or(DecodeError::TooManyPixels { width, height })?;
    let mut pixels = vec![0; size];
    reader.next_frame(&mut pixels)?;
    Ok((Image { height, width, channels: color.samples(), pixels }, color, depth))
}

/// Rows of pixels of 1, 2 or 4 bits, each row starting on a byte, the first pixel in the upper bits.
fn unpack(packed: &[u8], width: usize, bits: usize) -> Vec<u8> {
    let per_byte = 8 / bits;
    let keep = (1 << bits) - 1;
    let row = |row: &[u8]| -> Vec<u8> { (0..width).map(|x| row[x / per_byte] >> (8 - bits - x % per_byte * bits) & keep).collect() };
    packed.chunks_exact(width.div_ceil(per_byte)).flat_map(row).collect()
}

#[cfg(test)]
mod tests;
