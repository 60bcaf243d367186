//! Constants that the reader computes with: float parameters and the integers of shape arithmetic.

use quantrain_graph::op::{Activation, Binary, Slice, Walk};
use quantrain_graph::{GraphError, Op, Shape, ShapeError};

use super::fold;
use super::number::{self, Number, Real};
use super::tensor;
use crate::NodeError;

/// Row-major values with a shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array<T> {
    pub shape: Vec<usize>,
    pub values: Vec<T>,
}

/// A constant of either kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Floats(Array<f32>),
    Integers(Array<Number>),
    /// Floats of which some depend on the batch size.
    Reals(Array<Real>),
}

impl Constant {
    pub fn shape(&self) -> &[usize] {
        match self {
            Constant::Floats(a) => &a.shape,
            Constant::Integers(a) => &a.shape,
            Constant::Reals(a) => &a.shape,
        }
    }

    /// Floats, those that depend on the batch size among them.
    pub fn reals(array: Array<Real>) -> Constant {
        match array.values.iter().map(|x| x.fixed().ok()).collect::<Option<_>>() {
            Some(values) => Constant::Floats(Array { shape: array.shape, values }),
            None => Constant::Reals(array),
        }
    }

    /// The only value, as often as a shape has elements.
    pub fn in_shape(self, shape: Vec<usize>) -> Constant {
        let count = shape.iter().product();
        match self {
            Constant::Floats(a) => Constant::Floats(Array { shape, values: a.values.into_iter().cycle().take(count).collect() }),
            Constant::Integers(a) => Constant::Integers(Array { shape, values: a.values.into_iter().cycle().take(count).collect() }),
            Constant::Reals(a) => Constant::Reals(Array { shape, values: a.values.into_iter().cycle().take(count).collect() }),
        }
    }

    /// The numbers as floats.
    pub fn into_reals(self) -> Constant {
        match self {
            Constant::Integers(a) => Constant::reals(a.map(Real::from)),
            floats => floats,
        }
    }

    /// The numbers cut to integers.
    pub fn into_integers(self) -> Result<Array<Number>, NodeError> {
        let (shape, values) = match self {
            Constant::Integers(a) => return Ok(a),
            Constant::Floats(a) => return Ok(a.map(|x| Number::Fixed(number::truncate(x)))),
            Constant::Reals(a) => (a.shape, a.values),
        };
        Ok(Array { shape, values: values.into_iter().map(Real::truncate).collect::<Result<_, _>>()? })
    }

    /// 1 where a number is not 0, else 0. A multiple of the batch size is never 0.
    pub fn truths(&self) -> Array<Number> {
        let truth = |holds: bool| Number::Fixed(i64::from(holds));
        match self {
            Constant::Floats(a) => a.map(|x| truth(x != 0.0)),
            Constant::Integers(a) => a.map(|n| truth(n != Number::Fixed(0))),
            Constant::Reals(a) => a.map(|x| truth(x != Real::Fixed(0.0))),
        }
    }

    /// The elements with what depends on the batch size allowed; `None` of integers.
    fn as_reals(&self) -> Option<Array<Real>> {
        match self {
            Constant::Floats(a) => Some(a.map(Real::Fixed)),
            Constant::Reals(a) => Some(a.clone()),
            Constant::Integers(_) => None,
        }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape().iter().fold(1usize, |n, &extent| n.saturating_mul(extent))
    }

    /// What an operator makes of constants; [`NodeError::NotFolded`] where that is not worth its code.
    /// `limit` bounds the number of elements of the result.
    pub fn evaluate(node: &str, op: &Op, inputs: &[Constant], limit: usize) -> Result<Constant, NodeError> {
        let shapes: Vec<Shape> = inputs.iter().map(|c| Shape::fixed(c.shape())).collect();
        let shape_error = |source: ShapeError| GraphError::Shape { node: node.into(), op: op.name(), source };
        let output = op.output_shape(&shapes.iter().collect::<Vec<_>>()).map_err(shape_error)?;
        let elements = output.0.iter().try_fold(1usize, |p, d| p.checked_mul(d.at(1)));
        if elements.is_none_or(|n| n > limit) || output.rank() > tensor::MOST_AXES {
            return Err(NodeError::TooLarge { shape: output.to_string() });
        }
        let shape = output.at(1);
        match inputs {
            [Constant::Floats(x)] if matches!(op, Op::Activation(_)) => {
                let Op::Activation(f) = op else { return Err(NodeError::NotFolded) };
                let values = x.values.iter().map(|&v| fold::function(f, v)).collect::<Option<_>>().ok_or(NodeError::NotFolded)?;
                Ok(Constant::Floats(Array { shape, values }))
            }
            [Constant::Integers(x)] if *op == Op::Activation(Activation::Neg) => {
                let zero = Array { shape: Vec::new(), values: vec![Number::Fixed(0)] };
                broadcast(&zero, x, shape, |a, b| a.apply(Binary::Sub, b)).map(Constant::Integers)
            }
            [Constant::Reals(x)] if matches!(op, Op::Activation(_)) => {
                let Op::Activation(f) = op else { return Err(NodeError::NotFolded) };
                let values = x.values.iter().map(|v| v.rounded(f)).collect::<Result<_, _>>()?;
                Ok(Constant::reals(Array { shape, values }))
            }
            [Constant::Floats(x)] => unary(op, x, shape).map(Constant::Floats),
            [Constant::Reals(x)] => unary(op, x, shape).map(Constant::reals),
            [Constant::Integers(x)] => unary(op, x, shape).map(Constant::Integers),
            [Constant::Floats(a), Constant::Floats(b)] if matches!(op, Op::Binary(_)) => {
                let Op::Binary(binary) = op else { return Err(NodeError::NotFolded) };
                broadcast(a, b, shape, |a, b| Ok(fold::operands(*binary, a, b))).map(Constant::Floats)
            }
            [Constant::Integers(a), Constant::Integers(b)] if matches!(op, Op::Binary(_)) => {
                let Op::Binary(binary) = op else { return Err(NodeError::NotFolded) };
                broadcast(a, b, shape, |a, b| a.apply(*binary, b)).map(Constant::Integers)
            }
            [Constant::Reals(_), other] | [other, Constant::Reals(_)] if matches!((op, other.as_reals()), (Op::Binary(_), Some(_))) => {
                let Op::Binary(binary) = op else { return Err(NodeError::NotFolded) };
                let sides: Vec<Array<Real>> = inputs.iter().filter_map(Constant::as_reals).collect();
                let [a, b] = &sides[..] else { return Err(NodeError::NotFolded) };
                broadcast(a, b, shape, |a, b| a.apply(*binary, b)).map(Constant::reals)
            }
            _ => {
                let Op::Concat(concat) = op else { return Err(NodeError::NotFolded) };
                let axis = output.axis(concat.axis).map_err(shape_error)?;
                let floats: Option<Vec<_>> = inputs.iter().map(|c| if let Constant::Floats(a) = c { Some(a) } else { None }).collect();
                let integers: Option<Vec<_>> = inputs.iter().map(|c| if let Constant::Integers(a) = c { Some(a) } else { None }).collect();
                let reals: Option<Vec<_>> = inputs.iter().map(Constant::as_reals).collect();
                match (floats, integers, reals) {
                    (Some(parts), ..) => Ok(Constant::Floats(concatenate(&parts, axis, shape))),
                    (_, Some(parts), _) => Ok(Constant::Integers(concatenate(&parts, axis, shape))),
                    (.., Some(parts)) => Ok(Constant::reals(concatenate(&parts.iter().collect::<Vec<_>>(), axis, shape))),
                    _ => Err(NodeError::NotFolded),
                }
            }
        }
    }
}

fn unary<T: Copy>(op: &Op, x: &Array<T>, shape: Vec<usize>) -> Result<Array<T>, NodeError> {
    match op {
        Op::Identity | Op::Reshape(_) | Op::Flatten(_) | Op::Concat(_) => Ok(Array { shape, values: x.values.clone() }),
        Op::Transpose(t) => Ok(x.picked(shape, |at| t.permutation.iter().zip(at).map(|(&axis, &i)| (axis, i)).collect())),
        Op::Slice(slice) => sliced(slice, x, shape),
        Op::Tile(_) => Ok(x.picked(shape, |at| at.iter().zip(&x.shape).map(|(&i, &n)| i % n).enumerate().collect())),
        _ => Err(NodeError::NotFolded),
    }
}

fn sliced<T: Copy>(slice: &Slice, x: &Array<T>, shape: Vec<usize>) -> Result<Array<T>, NodeError> {
    let walks = slice.walks(&Shape::fixed(&x.shape)).map_err(|_| NodeError::NotFolded)?;
    let at = |walk: &Option<Walk>, i: usize| match walk {
        Some(Walk { start, step, .. }) if *step < 0 => start.saturating_sub(i.saturating_mul(step.unsigned_abs())),
        Some(Walk { start, step, .. }) => start.saturating_add(i.saturating_mul(step.unsigned_abs())),
        None => i,
    };
    Ok(x.picked(shape, |index| index.iter().zip(&walks).map(|(&i, w)| at(w, i)).enumerate().collect()))
}

/// The shape that two constants broadcast to, of at most `limit` elements.
pub(super) fn broadcast_shape(node: &str, a: &[usize], b: &[usize], limit: usize) -> Result<Vec<usize>, NodeError> {
    let shape = Shape::fixed(a).broadcast(&Shape::fixed(b));
    let shape = shape.map_err(|source| GraphError::Shape { node: node.into(), op: "broadcasting", source })?;
    let elements = shape.0.iter().try_fold(1usize, |p, d| p.checked_mul(d.at(1)));
    if elements.is_none_or(|n| n > limit) {
        return Err(NodeError::TooLarge { shape: shape.to_string() });
    }
    Ok(shape.at(1))
}

/// `f` of the elements of two constants that broadcast to `shape`.
pub(super) fn broadcast<T: Copy>(
    a: &Array<T>,
    b: &Array<T>,
    shape: Vec<usize>,
    f: impl Fn(T, T) -> Result<T, NodeError>,
) -> Result<Array<T>, NodeError> {
    // An operand's axes are the result's last ones; an axis of 1 stays at 0.
    let operand = |x: &Array<T>| {
        let skip = shape.len() - x.shape.len();
        let extents = x.shape.clone();
        x.picked(shape.clone(), move |at| {
            at.iter().skip(skip).zip(&extents).map(|(&i, &n)| if n == 1 { 0 } else { i }).enumerate().collect()
        })
    };
    let (a, b) = (operand(a), operand(b));
    let values = a.values.iter().zip(&b.values).map(|(&a, &b)| f(a, b)).collect::<Result<_, _>>()?;
    Ok(Array { shape, values })
}

fn concatenate<T: Copy>(parts: &[&Array<T>], axis: usize, shape: Vec<usize>) -> Array<T> {
    let outer: usize = shape.iter().take(axis).product();
    let mut values = Vec::with_capacity(shape.iter().product());
    for o in 0..outer {
        for part in parts {
            let run: usize = part.shape.iter().skip(axis).product();
            values.extend(part.values.iter().skip(o * run).take(run).copied());
        }
    }
    Array { shape, values }
}

impl<T: Copy> Array<T> {
    /// A scalar.
    pub fn scalar(value: T) -> Self {
        Array { shape: Vec::new(), values: vec![value] }
    }

    /// A row of values.
    pub fn row(values: Vec<T>) -> Self {
        Array { shape: vec![values.len()], values }
    }

    /// The only value, where there is just one.
    pub fn single(&self) -> Option<T> {
        if let [value] = self.values[..] { Some(value) } else { None }
    }

    /// The array with another value for each one.
    pub fn map<U>(&self, f: impl FnMut(T) -> U) -> Array<U> {
        Array { shape: self.shape.clone(), values: self.values.iter().copied().map(f).collect() }
    }

    /// Elements picked along an axis: the shape of `indices` replaces that axis.
    pub fn gathered(&self, axis: usize, indices: &Array<usize>) -> Array<T> {
        let shape = [&self.shape[..axis], &indices.shape, &self.shape[axis + 1..]].concat();
        let inner: usize = self.shape.iter().skip(axis + 1).product();
        let outer: usize = self.shape.iter().take(axis).product();
        let extent = self.shape[axis];
        let mut values = Vec::with_capacity(shape.iter().product());
        for o in 0..outer {
            for &i in &indices.values {
                values.extend(self.values.iter().skip((o * extent + i) * inner).take(inner).copied());
            }
        }
        Array { shape, values }
    }

    /// An array of `shape` whose element at an index is this array's where `source` says, as (axis, index) pairs.
    fn picked(&self, shape: Vec<usize>, source: impl Fn(&[usize]) -> Vec<(usize, usize)>) -> Array<T> {
        let mut strides = vec![1usize; self.shape.len()];
        for axis in (1..self.shape.len()).rev() {
            strides[axis - 1] = strides[axis] * self.shape[axis];
        }
        let elements: usize = shape.iter().product();
        let mut at = vec![0; shape.len()];
        let mut values = Vec::with_capacity(elements);
        for _ in 0..elements {
            let offset: usize = source(&at).into_iter().map(|(axis, i)| strides[axis] * i).sum();
            values.push(self.values[offset]);
            for axis in (0..shape.len()).rev() {
                at[axis] += 1;
                if at[axis] < shape[axis] {
                    break;
                }
                at[axis] = 0;
            }
        }
        Array { shape, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantrain_graph::op::{Concat, Transpose};

    fn matrix() -> Array<f32> {
        Array { shape: vec![2, 3], values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] }
    }

    fn evaluated(op: Op, inputs: &[Array<f32>]) -> Array<f32> {
        let inputs: Vec<Constant> = inputs.iter().cloned().map(Constant::Floats).collect();
        match Constant::evaluate("n", &op, &inputs, 100).unwrap() {
            Constant::Floats(a) => a,
            _ => unreachable!("floats went in"),
        }
    }

    #[test]
    fn layout_operators_move_constants() {
        let t = evaluated(Op::Transpose(Transpose { permutation: vec![1, 0] }), &[matrix()]);
        assert_eq!((t.shape, t.values), (vec![3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        let slice = Slice { starts: vec![-1], ends: vec![i64::MIN], axes: vec![1], steps: vec![-2] };
        let s = evaluated(Op::Slice(slice), &[matrix()]);
        assert_eq!((s.shape, s.values), (vec![2, 2], vec![3.0, 1.0, 6.0, 4.0]));
        let c = evaluated(Op::Concat(Concat { axis: 1 }), &[matrix(), matrix()]);
        assert_eq!(c.values, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn arithmetic_broadcasts() {
        let y = evaluated(Op::Binary(Binary::Mul), &[matrix(), Array { shape: vec![2, 1], values: vec![10.0, -1.0] }]);
        assert_eq!(y.values, [10.0, 20.0, 30.0, -4.0, -5.0, -6.0]);
    }

    #[test]
    fn a_result_beyond_the_limit_is_refused() {
        let column = Constant::Floats(Array { shape: vec![20, 1], values: vec![0.0; 20] });
        let row = Constant::Floats(Array { shape: vec![1, 20], values: vec![0.0; 20] });
        let found = Constant::evaluate("n", &Op::Binary(Binary::Add), &[column, row], 100);
        assert!(matches!(found, Err(NodeError::TooLarge { .. })));
    }

    #[test]
    fn gathering_replaces_the_axis() {
        let g = matrix().gathered(1, &Array::row(vec![2, 0]));
        assert_eq!((g.shape, g.values), (vec![2, 2], vec![3.0, 1.0, 6.0, 4.0]));
        assert_eq!(matrix().gathered(0, &Array::scalar(1)).shape, [3]);
    }
}
