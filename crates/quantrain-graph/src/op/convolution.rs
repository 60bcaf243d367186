//! Convolution in two dimensions: dense, grouped and depthwise; and its transpose.

use super::Window;
use crate::{Shape, ShapeError};

/// Attributes of a Conv.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// The window; `ceil` is never set.
    pub window: Window,
    /// Number of groups: 1 is dense, as many as channels is depthwise.
    pub groups: usize,
}

impl Convolution {
    /// `[N, O, H', W']` for x `[N, C, H, W]` and w `[O, C/groups, kh, kw]`.
    pub(super) fn output_shape(&self, x: &Shape, w: &Shape) -> Result<Shape, ShapeError> {
        let (channels, height, width) = x.image()?;
        let mismatch = || ShapeError::WeightMismatch { weights: w.clone(), input: x.clone(), groups: self.groups };
        if w.rank() != 4 || self.groups == 0 {
            return Err(mismatch());
        }
        let out = w.fixed_at(0)?;
        let fits = w.fixed_at(1)?.checked_mul(self.groups) == Some(channels)
            && out % self.groups == 0
            && [w.fixed_at(2)?, w.fixed_at(3)?] == self.window.kernel;
        if !fits {
            return Err(mismatch());
        }
        let [h, w] = self.window.output_extents(height, width)?;
        Ok(x.with(1, out).with(2, h).with(3, w))
    }
}

/// Attributes of a ConvTranspose: what an input pixel is spread over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose {
    /// The window; pads are cut off the output, `ceil` is never set.
    pub window: Window,
    /// Rows and columns added to the output at its end.
    pub output_padding: [usize; 2],
    /// Number of groups: 1 is dense, as many as channels is depthwise.
    pub groups: usize,
}

impl ConvTranspose {
    /// Height and width of the output for an input of `height` by `width`: `(in − 1)·s + (k − 1)·d + 1 + output_padding − pads`.
    ///
    /// # Errors
    /// The pads leave nothing, or an attribute is zero.
    pub fn output_extents(&self, height: usize, width: usize) -> Result<[usize; 2], ShapeError> {
        let Window { kernel, strides, pads, dilations, .. } = self.window;
        let mut out = [0; 2];
        for (axis, input) in [height, width].into_iter().enumerate() {
            for (what, value) in [("kernel_shape", kernel[axis]), ("strides", strides[axis]), ("dilations", dilations[axis])] {
                if value == 0 {
                    return Err(ShapeError::Value { what, value: 0 });
                }
            }
            let reach = (kernel[axis] - 1).saturating_mul(dilations[axis]).saturating_add(1);
            let whole = input.saturating_sub(1).saturating_mul(strides[axis]).saturating_add(reach);
            let padding = pads[axis].saturating_add(pads[axis + 2]);
            let left = whole.saturating_add(self.output_padding[axis]).checked_sub(padding).filter(|&n| n > 0);
            out[axis] = left.ok_or(ShapeError::WindowTooLarge { kernel: reach, input, padding })?;
        }
        Ok(out)
    }

    /// `[N, O, H', W']` for x `[N, C, H, W]` and w `[C, O/groups, kh, kw]`.
    pub(super) fn output_shape(&self, x: &Shape, w: &Shape) -> Result<Shape, ShapeError> {
        let (channels, height, width) = x.image()?;
        let mismatch = || ShapeError::WeightMismatch { weights: w.clone(), input: x.clone(), groups: self.groups };
        let groups_divide = self.groups > 0 && channels % self.groups.max(1) == 0;
        if w.rank() != 4 || !groups_divide || w.fixed_at(0)? != channels || [w.fixed_at(2)?, w.fixed_at(3)?] != self.window.kernel {
            return Err(mismatch());
        }
        let out = w.fixed_at(1)?.checked_mul(self.groups).ok_or_else(mismatch)?;
        let [h, w] = self.output_extents(height, width)?;
        Ok(x.with(1, out).with(2, h).with(3, w))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_convolution_enlarges_by_its_stride() {
        let window = Window { strides: [2, 2], pads: [1; 4], ..Window::new([3, 3]) };
        let op = ConvTranspose { window, output_padding: [1, 1], groups: 2 };
        let x = Shape::batched(&[6, 4, 5]);
        assert_eq!(op.output_shape(&x, &Shape::fixed(&[6, 4, 3, 3])).unwrap(), Shape::batched(&[8, 8, 10]));
        assert!(matches!(op.output_shape(&x, &Shape::fixed(&[8, 4, 3, 3])), Err(ShapeError::WeightMismatch { .. })));
        let cut = ConvTranspose { window: Window { pads: [9, 0, 9, 0], ..window }, ..op };
        assert!(matches!(cut.output_shape(&x, &Shape::fixed(&[6, 4, 3, 3])), Err(ShapeError::WindowTooLarge { .. })));
    }

    #[test]
    fn groups_must_divide_the_channels() {
        let op = Convolution { window: Window::new([1, 1]), groups: 2 };
        let x = Shape::batched(&[6, 4, 4]);
        assert_eq!(op.output_shape(&x, &Shape::fixed(&[8, 3, 1, 1])).unwrap(), Shape::batched(&[8, 4, 4]));
        assert!(matches!(op.output_shape(&x, &Shape::fixed(&[7, 3, 1, 1])), Err(ShapeError::WeightMismatch { .. })));
        assert!(matches!(op.output_shape(&x, &Shape::fixed(&[8, 6, 1, 1])), Err(ShapeError::WeightMismatch { .. })));
    }

    #[test]
    fn asymmetric_padding_counts_on_both_sides() {
        let window = Window { strides: [2, 2], pads: [0, 0, 1, 1], ..Window::new([3, 3]) };
        let op = Convolution { window, groups: 1 };
        let y = op.output_shape(&Shape::batched(&[3, 32, 32]), &Shape::fixed(&[16, 3, 3, 3])).unwrap();
        assert_eq!(y, Shape::batched(&[16, 16, 16]));
    }
}
