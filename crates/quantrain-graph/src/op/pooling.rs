//! Pools: windows over the spatial axes.

use crate::{Shape, ShapeError};

/// A sliding window over height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub strides: [usize; 2],
    /// Padding at top, left, bottom, right (ONNX's order).
    pub pads: [usize; 4],
    /// Distance between the elements of a window.
    pub dilations: [usize; 2],
    /// A last, partly filled window counts (`ceil_mode`).
    pub ceil: bool,
}

impl Window {
    /// A window of `kernel`, stride 1, no padding.
    pub fn new(kernel: [usize; 2]) -> Self {
        Window { kernel, strides: [1, 1], pads: [0; 4], dilations: [1, 1], ceil: false }
    }

    /// Height and width of the output for an input of `height` by `width`.
    ///
    /// # Errors
    /// The window does not fit into the padded input, or an attribute is zero.
    pub fn output_extents(&self, height: usize, width: usize) -> Result<[usize; 2], ShapeError> {
        let mut out = [0; 2];
        for (axis, input) in [height, width].into_iter().enumerate() {
            for (what, value) in [("kernel_shape", self.kernel[axis]), ("strides", self.strides[axis]), ("dilations", self.dilations[axis])]
            {
                if value == 0 {
                    return Err(ShapeError::Value { what, value: 0 });
                }
            }
            let kernel = (self.kernel[axis] - 1).saturating_mul(self.dilations[axis]).saturating_add(1);
            let padding = self.pads[axis].saturating_add(self.pads[axis + 2]);
            let room = input.saturating_add(padding).checked_sub(kernel).ok_or(ShapeError::WindowTooLarge { kernel, input, padding })?;
            let stride = self.strides[axis];
            out[axis] = if self.ceil {
                let windows = room.div_ceil(stride) + 1;
                // A window may not begin in the end padding (ONNX, PyTorch).
                if (windows - 1) * stride >= input + self.pads[axis] { windows - 1 } else { windows }
            } else {
                room / stride + 1
            };
        }
        Ok(out)
    }

    /// `[N, C, H', W']` for x `[N, C, H, W]`.
    ///
    /// # Errors
    /// x is no image, or the window does not fit.
    pub fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let (_, height, width) = x.image()?;
        let [h, w] = self.output_extents(height, width)?;
        Ok(x.with(2, h).with(3, w))
    }
}

/// Largest value of each window; padding never wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// The window.
    pub window: Window,
}

/// Mean of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// The window.
    pub window: Window,
    /// Padding counts as zeros in the mean.
    pub count_include_pad: bool,
}

impl AveragePool {
    /// Whether ONNX Runtime's QLinearAveragePool computes the same for images of `height` by `width`: it knows no dilations, and divides
    /// what hangs over counted padding by the whole window.
    pub fn is_integer_kernel(&self, height: usize, width: usize) -> bool {
        let Window { kernel, strides, pads, dilations, .. } = self.window;
        let Ok(out) = self.window.output_extents(height, width) else { return false };
        let hangs_over = |axis: usize| {
            let reach = out[axis].saturating_sub(1).saturating_mul(strides[axis]).saturating_add(kernel[axis]);
            reach > [height, width][axis].saturating_add(pads[axis]).saturating_add(pads[axis + 2])
        };
        dilations == [1, 1] && !(self.count_include_pad && (hangs_over(0) || hangs_over(1)))
    }
}

/// Mean over height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalAveragePool;

impl GlobalAveragePool {
    /// `[N, C, 1, 1]` for x `[N, C, H, W]`.
    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        x.image()?;
        Ok(x.with(2, 1).with(3, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partly_filled_window_counts_only_in_ceil_mode() {
        let window = Window { strides: [2, 2], ..Window::new([2, 2]) };
        assert_eq!(window.output_extents(5, 4).unwrap(), [2, 2]);
        assert_eq!(Window { ceil: true, ..window }.output_extents(5, 4).unwrap(), [3, 2]);
    }

    #[test]
    fn no_window_begins_in_the_end_padding() {
        let window = Window { strides: [3, 3], pads: [0, 0, 2, 2], ceil: true, ..Window::new([2, 2]) };
        assert_eq!(window.output_extents(3, 4).unwrap(), [1, 2]);
    }

    #[test]
    fn windows_over_counted_padding_have_no_integer_kernel() {
        let pool = |pads, ceil, count_include_pad| AveragePool {
            window: Window { strides: [2, 2], pads, ceil, ..Window::new([3, 3]) },
            count_include_pad,
        };
        // The last of three windows of 3 begins at 4, and ends at 7.
        assert!(!pool([0; 4], true, true).is_integer_kernel(6, 7));
        assert!(pool([0; 4], true, false).is_integer_kernel(6, 7));
        assert!(pool([0, 0, 1, 0], true, true).is_integer_kernel(6, 7));
        assert!(pool([0; 4], false, true).is_integer_kernel(6, 7));
        let dilated = Window { dilations: [1, 2], ..Window::new([2, 2]) };
        assert!(!AveragePool { window: dilated, count_include_pad: false }.is_integer_kernel(6, 7));
    }

    #[test]
    fn a_window_larger_than_its_input_is_refused() {
        assert!(matches!(Window::new([3, 3]).output_extents(2, 8), Err(ShapeError::WindowTooLarge { kernel: 3, input: 2, padding: 0 })));
        assert!(matches!(Window { strides: [0, 1], ..Window::new([1, 1]) }.output_extents(2, 8), Err(ShapeError::Value { .. })));
    }
}
