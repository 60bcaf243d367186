//! Shapes whose batch size is not known until a plan is made.

use std::fmt;

use crate::ShapeError;

/// One extent of a tensor: a number, or a multiple of the batch size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// This many elements, whatever the batch.
    Fixed(usize),
    /// This many times the batch size (1 for the usual leading axis).
    Batch(usize),
}

impl Dim {
    /// The extent for a batch of `batch` samples.
    pub fn at(self, batch: usize) -> usize {
        match self {
            Dim::Fixed(n) => n,
            Dim::Batch(k) => k.saturating_mul(batch),
        }
    }

    /// The extent where it does not depend on the batch.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Dim::Fixed(n) => Some(n),
            Dim::Batch(_) => None,
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(n) => write!(f, "{n}"),
            Dim::Batch(1) => write!(f, "N"),
            Dim::Batch(k) => write!(f, "{k}N"),
        }
    }
}

/// Elements of the largest tensor of one sample: no machine has memory for more.
const MOST_ELEMENTS: usize = 1 << 40;

/// The extents of a tensor, outermost first, in ONNX's order (`[N, C, H, W]` for images).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// A shape that does not depend on the batch.
    pub fn fixed(extents: &[usize]) -> Self {
        Shape(extents.iter().map(|&n| Dim::Fixed(n)).collect())
    }

    /// `[N, extents…]`.
    pub fn batched(extents: &[usize]) -> Self {
        let rest = extents.iter().map(|&n| Dim::Fixed(n));
        Shape(std::iter::once(Dim::Batch(1)).chain(rest).collect())
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The extents for a batch of `batch` samples.
    pub fn at(&self, batch: usize) -> Vec<usize> {
        self.0.iter().map(|d| d.at(batch)).collect()
    }

    /// Number of elements for a batch of `batch` samples; `usize::MAX` where there are more.
    pub fn elements(&self, batch: usize) -> usize {
        self.0.iter().map(|d| d.at(batch)).fold(1, usize::saturating_mul)
    }

    /// Whether products of the extents for one sample can be computed with: they stay far below the largest integer, axes of no extent left
    /// out.
    pub fn is_countable(&self) -> bool {
        let product = self.0.iter().map(|d| d.at(1)).filter(|&n| n > 0).fold(1, usize::saturating_mul);
        product <= MOST_ELEMENTS
    }

    /// The extent of `axis`.
    ///
    /// # Errors
    /// The axis is outside the rank, or its extent depends on the batch.
    pub fn fixed_at(&self, axis: usize) -> Result<usize, ShapeError> {
        self.0.get(axis).and_then(|d| d.fixed()).ok_or_else(|| ShapeError::AxisNotFixed { axis, shape: self.clone() })
    }

    /// `axis` counted from the front; negative values count from the back, as in ONNX.
    ///
    /// # Errors
    /// The axis is outside the rank.
    pub fn axis(&self, axis: i64) -> Result<usize, ShapeError> {
        let rank = self.rank() as i64;
        let from_front = if axis < 0 { axis + rank } else { axis };
        if (0..rank).contains(&from_front) {
            Ok(from_front as usize)
        } else {
            Err(ShapeError::AxisOutOfRange { axis, shape: self.clone() })
        }
    }

    /// `[N, C, H, W]` as (channels, height, width).
    ///
    /// # Errors
    /// The shape has another rank, or an extent but the first depends on the batch.
    pub fn image(&self) -> Result<(usize, usize, usize), ShapeError> {
        if self.rank() != 4 {
            return Err(ShapeError::NotAnImage { shape: self.clone() });
        }
        Ok((self.fixed_at(1)?, self.fixed_at(2)?, self.fixed_at(3)?))
    }

    /// The shape with `axis` replaced.
    pub fn with(&self, axis: usize, extent: usize) -> Shape {
        let mut dims = self.0.clone();
        dims[axis] = Dim::Fixed(extent);
        Shape(dims)
    }

    /// The shape that NumPy-style broadcasting gives for two operands.
    ///
    /// # Errors
    /// Two extents differ and neither is 1.
    pub fn broadcast(&self, other: &Shape) -> Result<Shape, ShapeError> {
        let rank = self.rank().max(other.rank());
        let at = |s: &Shape, i: usize| if i + s.rank() < rank { Dim::Fixed(1) } else { s.0[i + s.rank() - rank] };
        let dims = (0..rank).map(|i| match (at(self, i), at(other, i)) {
            (a, b) if a == b => Ok(a),
            (Dim::Fixed(1), d) | (d, Dim::Fixed(1)) => Ok(d),
            _ => Err(ShapeError::NoBroadcast { left: self.clone(), right: other.clone() }),
        });
        Ok(Shape(dims.collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.0.iter().map(Dim::to_string).collect();
        write!(f, "[{}]", dims.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_extent_scales_with_the_batch() {
        let shape = Shape(vec![Dim::Batch(2), Dim::Fixed(3)]);
        assert_eq!(shape.at(5), [10, 3]);
        assert_eq!(shape.elements(5), 30);
        assert_eq!(shape.to_string(), "[2N, 3]");
    }

    #[test]
    fn products_of_extents_do_not_wrap() {
        let huge = Shape::fixed(&[1 << 31, 1 << 31, 1 << 31]);
        assert_eq!(huge.elements(1), usize::MAX);
        assert_eq!(Shape(vec![Dim::Batch(1 << 40), Dim::Fixed(2)]).elements(1 << 40), usize::MAX);
        assert!(!huge.is_countable() && !Shape::fixed(&[1 << 41, 0]).is_countable());
        assert!(Shape::fixed(&[1 << 20, 1 << 20, 0]).is_countable());
    }

    #[test]
    fn broadcasting_follows_numpy() {
        let image = Shape::batched(&[8, 4, 4]);
        assert_eq!(image.broadcast(&Shape::fixed(&[8, 1, 1])).unwrap(), image);
        assert_eq!(Shape::fixed(&[]).broadcast(&image).unwrap(), image);
        assert!(image.broadcast(&Shape::fixed(&[3, 1, 1])).is_err());
    }

    #[test]
    fn negative_axes_count_from_the_back() {
        let shape = Shape::batched(&[8, 4]);
        assert_eq!(shape.axis(-1).unwrap(), 2);
        assert!(shape.axis(3).is_err());
        assert!(shape.axis(-4).is_err());
    }
}
