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
    /// As half pixel, with the middle of the output kept in the middle of the input where a scale does not give a whole extent.
    HalfPixelSymmetric,
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interpolation {
    /// One neighbour's value.
    Nearest(NearestMode),
    /// Linear in both axes.
    Linear,
    /// Keys' cubic convolution in both axes.
    Cubic {
        /// The coefficient a, usually −0.75 or −0.5.
        a: f32,
        /// Pixels outside the image have no weight and the others share it; else they are the nearest ones of the edge.
        exclude_outside: bool,
    },
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

/// Up to here f32 counts rows and columns.
const LARGEST: f32 = (1 << 24) as f32;

impl Resize {
    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let (_, height, width) = x.image()?;
        let scales = self.scales([height, width]);
        let rounded = |axis: usize| match self.to {
            ResizeTo::Sizes(sizes) => sizes[axis] as f32,
            ResizeTo::Scales(_) => ([height, width][axis] as f32 * scales[axis]).floor(),
        };
        if let Some(axis) = [0, 1].into_iter().find(|&axis| !(1.0..LARGEST).contains(&rounded(axis))) {
            return Err(ShapeError::Value { what: "scales", value: scales[axis] as i64 });
        }
        let [h, w] = if let ResizeTo::Sizes(sizes) = self.to { sizes } else { [rounded(0) as usize, rounded(1) as usize] };
        let y = x.with(2, h).with(3, w);
        if h == 0 || w == 0 { Err(ShapeError::Empty { shape: y }) } else { Ok(y) }
    }

    /// The factors of height and width for an input of these.
    fn scales(&self, input: [usize; 2]) -> [f32; 2] {
        match self.to {
            ResizeTo::Scales(scales) => scales,
            ResizeTo::Sizes(sizes) => [0, 1].map(|axis| sizes[axis] as f32 / input[axis] as f32),
        }
    }

    /// Where each of the output's positions along one axis lies in the input.
    fn places(&self, axis: usize, input: [usize; 2], output: usize) -> impl Iterator<Item = f32> {
        let (scale, coordinates) = (self.scales(input)[axis], self.coordinates);
        let (input, outputs) = (input[axis] as f32, output as f32);
        (0..output).map(move |i| {
            let i = i as f32;
            match coordinates {
                Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if output == 1 => 0.0,
                Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (i + 0.5) / scale - 0.5,
                Coordinates::Asymmetric => i / scale,
                Coordinates::AlignCorners => i * (input - 1.0) / (outputs - 1.0),
                Coordinates::HalfPixelSymmetric => {
                    let adjustment = outputs / (scale * input);
                    input / 2.0 * (1.0 - adjustment) + (i + 0.5) / scale - 0.5
                }
            }
        })
    }

    /// For each of `output` positions along one axis of an input of `input` rows and columns, with nearest or linear interpolation: lower
    /// neighbour, upper neighbour, weight of the upper.
    pub fn axis_map(&self, axis: usize, input: [usize; 2], output: usize) -> impl Iterator<Item = (usize, usize, f32)> {
        let (last, interpolation) = ((input[axis] - 1) as f32, self.interpolation);
        self.places(axis, input, output).map(move |at| match interpolation {
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
            Interpolation::Linear | Interpolation::Cubic { .. } => {
                let at = at.clamp(0.0, last);
                let low = at.floor();
                (low as usize, (low as usize + 1).min(input[axis] - 1), at - low)
            }
        })
    }

    /// With cubic interpolation: four neighbours and their weights,
    /// `(a+2)|t|³ − (a+3)|t|² + 1` for `|t| ≤ 1`, `a|t|³ − 5a|t|² + 8a|t| − 4a` up to 2 (Keys 1981).
    pub fn cubic_map(&self, axis: usize, input: [usize; 2], output: usize) -> impl Iterator<Item = [(usize, f32); 4]> {
        // With other interpolations nobody asks.
        let (a, exclude_outside) = match self.interpolation {
            Interpolation::Cubic { a, exclude_outside } => (a, exclude_outside),
            Interpolation::Nearest(_) | Interpolation::Linear => (0.0, false),
        };
        let weight = move |t: f32| {
            let (t, a) = (f64::from(t.abs()), f64::from(a));
            let weight = if t <= 1.0 { ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0 } else { ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a };
            weight as f32
        };
        let last = (input[axis] - 1) as f32;
        let taps = move |at: f32| {
            let taps = [-1.0, 0.0, 1.0, 2.0].map(|offset| {
                let place = at.floor() + offset;
                let outside = exclude_outside && !(0.0..=last).contains(&place);
                (place.clamp(0.0, last) as usize, if outside { 0.0 } else { weight(at - place) })
            });
            let sum: f32 = taps.iter().map(|tap| tap.1).sum();
            if exclude_outside { taps.map(|(place, weight)| (place, weight / sum)) } else { taps }
        };
        self.places(axis, input, output).map(taps)
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
        let low: Vec<usize> = resize.axis_map(0, [3, 3], 6).map(|m| m.0).collect();
        assert_eq!(low, [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn linear_half_pixel_holds_the_edges() {
        let resize = Resize { to: ResizeTo::Sizes([4, 4]), coordinates: Coordinates::HalfPixel, interpolation: Interpolation::Linear };
        assert_eq!(resize.axis_map(0, [2, 2], 4).collect::<Vec<_>>(), [(0, 1, 0.0), (0, 1, 0.25), (0, 1, 0.75), (1, 1, 0.0)]);
    }

    #[test]
    fn cubic_weights_sum_to_one() {
        for exclude_outside in [false, true] {
            let interpolation = Interpolation::Cubic { a: -0.75, exclude_outside };
            let resize = Resize { to: ResizeTo::Sizes([7, 7]), coordinates: Coordinates::HalfPixel, interpolation };
            for taps in resize.cubic_map(0, [4, 4], 7) {
                assert!((taps.iter().map(|t| t.1).sum::<f32>() - 1.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn sizes_must_be_positive() {
        let resize = Resize { to: ResizeTo::Scales([0.1, 1.0]), coordinates: Coordinates::HalfPixel, interpolation: Interpolation::Linear };
        assert!(resize.output_shape(&Shape::batched(&[1, 4, 4])).is_err());
    }
}
