//! The integers behind a float constant where an operator moves its elements: a Transpose or Reshape between a DequantizeLinear and what
//! reads the weights.

use quantrain_graph::{Op, StoredCodes};

use super::array::{Array, Constant};
use super::number::Number;

/// The codes of a constant of `shape` behind `op`; `None` where it does more than move elements, or where the elements of one scale no longer
/// lie along one axis.
pub(super) fn moved(codes: &StoredCodes, op: &Op, shape: &[usize], limit: usize) -> Option<StoredCodes> {
    if !matches!(op, Op::Identity | Op::Transpose(_) | Op::Reshape(_) | Op::Flatten(_) | Op::Slice(_)) {
        return None;
    }
    let after = |values: Vec<Number>| {
        let before = Constant::Integers(Array { shape: shape.to_vec(), values });
        match Constant::evaluate("", op, &[before], limit).ok()? {
            Constant::Integers(after) => Some((after.values.iter().map(|n| n.fixed().ok()).collect::<Option<Vec<_>>>()?, after.shape)),
            Constant::Floats(_) | Constant::Reals(_) => None,
        }
    };
    let (centred, extents) = after(codes.centred.iter().map(|&c| Number::Fixed(c.into())).collect())?;
    let centred = centred.into_iter().map(|c| i32::try_from(c).ok()).collect::<Option<Vec<_>>>()?;
    if codes.quantizers.len() == 1 {
        return Some(StoredCodes { centred, quantizers: codes.quantizers.clone(), axis: 0 });
    }
    let inner: usize = shape.iter().skip(codes.axis + 1).product();
    let channel = |i: usize| i64::try_from(i / inner.max(1) % codes.quantizers.len()).map(Number::Fixed).ok();
    let (channels, _) = after((0..codes.centred.len()).map(channel).collect::<Option<_>>()?)?;
    let (axis, of_axis) = axis_of(&channels, &extents)?;
    let quantizers = of_axis.iter().map(|&c| codes.quantizers.get(usize::try_from(c).ok()?).copied()).collect::<Option<_>>()?;
    Some(StoredCodes { centred, quantizers, axis })
}

/// The axis along which alone the values change, and its values.
fn axis_of(values: &[i64], shape: &[usize]) -> Option<(usize, Vec<i64>)> {
    (0..shape.len()).find_map(|axis| {
        let inner: usize = shape.iter().skip(axis + 1).product();
        let of_axis: Vec<i64> = (0..*shape.get(axis)?).map(|c| values.get(c * inner).copied()).collect::<Option<_>>()?;
        let fits = values.iter().enumerate().all(|(i, v)| of_axis.get(i / inner.max(1) % of_axis.len().max(1)) == Some(v));
        fits.then_some((axis, of_axis))
    })
}

#[cfg(test)]
mod tests {
    use quantrain_graph::op::{Extent, Reshape, Transpose};
    use quantrain_graph::{Dim, Quantizer, Rounding};

    use super::*;

    /// Two rows of three columns, a scale for each column.
    fn matrix() -> StoredCodes {
        let q = |scale| Quantizer::new(scale, 0, -128, 127, Rounding::HalfToEven).unwrap();
        StoredCodes { centred: vec![1, 2, 3, 4, 5, 6], quantizers: vec![q(0.5), q(0.25), q(0.125)], axis: 1 }
    }

    fn scales(codes: &StoredCodes) -> Vec<f32> {
        codes.quantizers.iter().map(Quantizer::scale).collect()
    }

    #[test]
    fn scales_follow_their_axis() {
        let turned = moved(&matrix(), &Op::Transpose(Transpose { permutation: vec![1, 0] }), &[2, 3], 100).unwrap();
        assert_eq!((turned.centred, turned.axis), (vec![1, 4, 2, 5, 3, 6], 0));
        let fixed = |extents: &[usize]| Op::Reshape(Reshape { extents: extents.iter().map(|&n| Extent::Is(Dim::Fixed(n))).collect() });
        let kernel = moved(&matrix(), &fixed(&[2, 1, 3, 1]), &[2, 3], 100).unwrap();
        assert_eq!((scales(&kernel), kernel.axis), (vec![0.5, 0.25, 0.125], 2));
        assert_eq!(moved(&matrix(), &fixed(&[3, 2]), &[2, 3], 100), None, "its scales have no axis there");
        let slice = quantrain_graph::op::Slice { starts: vec![2], ends: vec![i64::MIN], axes: vec![1], steps: vec![-2] };
        let picked = moved(&matrix(), &Op::Slice(slice), &[2, 3], 100).unwrap();
        assert_eq!((scales(&picked), picked.centred), (vec![0.125, 0.5], vec![3, 1, 6, 4]));
    }

    #[test]
    fn what_computes_has_no_codes() {
        assert_eq!(moved(&matrix(), &Op::Activation(quantrain_graph::op::Activation::Neg), &[2, 3], 100), None);
    }
}
