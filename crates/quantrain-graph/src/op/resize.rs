//! Enlarging and shrinking height and width.

use crate::{Shape, ShapeError};

/// Where an output pixel lies in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// `(i + ½)/scale − ½`
    HalfPixel,
    /// As half pixel, but 0 where the output has one pixel.
    PytorchHalfPixel,
    /// `i/scale`
    Asymmetric,
    /// `i·(in − 1)/(out − 1)`
    AlignCorners,
}

/// Which neighbour nearest interpolation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NearestMode {
    /// The nearest; halves go down.
    RoundPreferFloor,
    /// The nearest; halves go up.
    RoundPreferCeil,
    /// The lower.
    Floor,
    /// The upper.
    Ceil,
}

/// How values between pixels arise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// One neighbour's value.
    Nearest(NearestMode),
    /// Linear in both axes.
    Linear,
}

/// The size asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ResizeTo {
    /// Factors of height and width; the output is `floor(in·factor)`.
    Scales([f32; 2]),
    /// Height and width of the output.
    Sizes([usize; 2]),
}

/// Resize of the last two axes of `[N, C, H, W]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resize {
    /// The size asked for.
    pub to: ResizeTo,
    /// Coordinate transformation.
    pub coordinates: Coordinates,
    /// Interpolation.
    pub interpolation: Interpolation,
}

impl Resize {
    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let (_, height, width) = x.image()?;
        let [h, w] = match self.to {
            ResizeTo::Sizes(sizes) => sizes,
            ResizeTo::Scales(scales) => {
                let scaled = |n: usize, s: f32| (n as f32 * s).floor();
                let sizes = [scaled(height, scales[0]), scaled(width, scales[1])];
                if sizes.iter().any(|s| !(*s >= 1.0 && *s < 65536.0)) {
                    return Err(ShapeError::Value { what: "scales", value: scales[0] as i64 });
                }
                [sizes[0] as usize, sizes[1] as usize]
            }
        };
        let y = x.with(2, h).with(3, w);
        if h == 0 || w == 0 { Err(ShapeError::Empty { shape: y }) } else { Ok(y) }
    }

    /// For each of `output` positions along one axis: lower neighbour, upper neighbour, weight of the upper.
    pub fn axis_map(&self, axis: usize, input: usize, output: usize) -> Vec<(usize, usize, f32)> {
        let scale = match self.to {
            ResizeTo::Scales(scales) => scales[axis],
            ResizeTo::Sizes(_) => output as f32 / input as f32,
        };
        let last = (input - 1) as f32;
        (0..output)
            .map(|i| {
                let i = i as f32;
                let at = match self.coordinates {
                    Coordinates::HalfPixel => (i + 0.5) / scale - 0.5,
                    Coordinates::PytorchHalfPixel if output == 1 => 0.0,
                    Coordinates::PytorchHalfPixel => (i + 0.5) / scale - 0.5,
                    Coordinates::Asymmetric => i / scale,
                    Coordinates::AlignCorners if output == 1 => 0.0,
                    Coordinates::AlignCorners => i * last / (output - 1) as f32,
                };
                match self.interpolation {
                    Interpolation::Nearest(mode) => {
                        let nearest = match mode {
                            NearestMode::RoundPreferFloor => (at - 0.5).ceil(),
                            NearestMode::RoundPreferCeil => (at + 0.5).floor(),
                            NearestMode::Floor => at.floor(),
                            NearestMode::Ceil => at.ceil(),
                        };
                        let index = nearest.clamp(0.0, last) as usize;
                        (index, index, 0.0)
                    }
                    Interpolation::Linear => {
                        let at = at.clamp(0.0, last);
                        let low = at.floor();
                        (low as usize, (low as usize + 1).min(input - 1), at - low)
                    }
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_asymmetric_floor_repeats_pixels() {
        let resize = Resize {
            to: ResizeTo::Scales([2.0, 2.0]),
            coordinates: Coordinates::Asymmetric,
            interpolation: Interpolation::Nearest(NearestMode::Floor),
        };
        let low: Vec<usize> = resize.axis_map(0, 3, 6).iter().map(|m| m.0).collect();
        assert_eq!(low, [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn linear_half_pixel_holds_the_edges() {
        let resize = Resize { to: ResizeTo::Sizes([4, 4]), coordinates: Coordinates::HalfPixel, interpolation: Interpolation::Linear };
        assert_eq!(resize.axis_map(0, 2, 4), [(0, 1, 0.0), (0, 1, 0.25), (0, 1, 0.75), (1, 1, 0.0)]);
    }

    #[test]
    fn sizes_must_be_positive() {
        let resize = Resize { to: ResizeTo::Scales([0.1, 1.0]), coordinates: Coordinates::HalfPixel, interpolation: Interpolation::Linear };
        assert!(resize.output_shape(&Shape::batched(&[1, 4, 4])).is_err());
    }
}
