//! Convolution in two dimensions: dense, grouped and depthwise.

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

#[cfg(test)]
mod tests {
    use super::*;

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
