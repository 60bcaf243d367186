//! Matrix products.

use crate::{Shape, ShapeError};

/// `y = alpha·a'·b' + beta·c`, a' and b' transposed on request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of the addend.
    pub beta: f32,
    /// a is stored `[K, M]`.
    pub transpose_a: bool,
    /// b is stored `[N, K]`.
    pub transpose_b: bool,
}

impl Gemm {
    /// `[M, N]` for a `[M, K]` and b `[K, N]` (before transposition).
    pub(super) fn output_shape(&self, a: &Shape, b: &Shape) -> Result<Shape, ShapeError> {
        let mismatch = || ShapeError::InnerMismatch { left: a.clone(), right: b.clone() };
        if a.rank() != 2 || b.rank() != 2 {
            return Err(mismatch());
        }
        let (m, k) = if self.transpose_a { (a.0[1], a.0[0]) } else { (a.0[0], a.0[1]) };
        let (kb, n) = if self.transpose_b { (b.0[1], b.0[0]) } else { (b.0[0], b.0[1]) };
        if k == kb { Ok(Shape(vec![m, n])) } else { Err(mismatch()) }
    }
}

/// `y = a·b` over the last two axes; axes before them broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul;

impl MatMul {
    /// `[…, M, N]` for a `[…, M, K]` and b `[…, K, N]`.
    pub(super) fn output_shape(&self, a: &Shape, b: &Shape) -> Result<Shape, ShapeError> {
        let mismatch = || ShapeError::InnerMismatch { left: a.clone(), right: b.clone() };
        let (ra, rb) = (a.rank(), b.rank());
        if ra < 2 || rb < 2 || a.0[ra - 1] != b.0[rb - 2] {
            return Err(mismatch());
        }
        let outer = Shape(a.0[..ra - 2].to_vec()).broadcast(&Shape(b.0[..rb - 2].to_vec()))?;
        Ok(Shape([outer.0, vec![a.0[ra - 2], b.0[rb - 1]]].concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_extents_must_agree() {
        let gemm = Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: true };
        let x = Shape::batched(&[64]);
        assert_eq!(gemm.output_shape(&x, &Shape::fixed(&[10, 64])).unwrap(), Shape::batched(&[10]));
        assert!(gemm.output_shape(&x, &Shape::fixed(&[64, 10])).is_err());
    }

    #[test]
    fn outer_axes_of_a_product_broadcast() {
        let y = MatMul.output_shape(&Shape::batched(&[4, 5, 6]), &Shape::fixed(&[6, 7])).unwrap();
        assert_eq!(y, Shape::batched(&[4, 5, 7]));
        assert!(MatMul.output_shape(&Shape::fixed(&[6]), &Shape::fixed(&[6, 7])).is_err());
    }
}
