//! Constants that broadcast against a tensor, an extent for each of its axes.

use super::Linked;
use crate::graph::TensorId;

/// No parameter of a layer has more values; what would is left alone.
const MOST_VALUES: usize = 1 << 20;

/// Values with an extent for each axis of a tensor: 1, or the tensor's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Aligned {
    extents: Vec<usize>,
    values: Vec<f64>,
}

impl Aligned {
    /// One value for all.
    pub fn number(value: f64, rank: usize) -> Self {
        Aligned { extents: vec![1; rank], values: vec![value] }
    }

    /// A constant of at most `rank` axes.
    pub fn constant(graph: &Linked, tensor: TensorId, rank: usize) -> Option<Self> {
        let values = graph.constant(tensor).filter(|values| values.len() <= MOST_VALUES)?;
        let shape = graph.tensor(tensor).shape.at(1);
        let extents = [vec![1; rank.checked_sub(shape.len())?], shape].concat();
        Some(Aligned::new(extents, values))
    }

    /// Values of these extents; one that is the same everywhere depends on no axis.
    fn new(extents: Vec<usize>, values: &[f32]) -> Self {
        match values.split_first() {
            Some((first, rest)) if rest.iter().all(|v| v == first) => Aligned::number((*first).into(), extents.len()),
            _ => Aligned { extents, values: values.iter().map(|&v| f64::from(v)).collect() },
        }
    }

    /// Values along one axis.
    pub fn along(axis: usize, rank: usize, values: &[f32]) -> Self {
        let mut extents = vec![1; rank];
        extents[axis] = values.len();
        Aligned::new(extents, values)
    }

    /// Values along the axes from `first` on.
    pub fn behind(first: usize, extents: &[usize], values: &[f32]) -> Option<Self> {
        let fits = values.len() == extents.iter().product::<usize>() && values.len() <= MOST_VALUES;
        let extents = [vec![1; first], extents.to_vec()].concat();
        fits.then(|| Aligned::new(extents, values))
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.extents.len()
    }

    /// Whether values may differ along this axis.
    pub fn depends_on(&self, axis: usize) -> bool {
        self.extents[axis] > 1
    }

    /// A function of each value.
    pub fn map(mut self, f: impl Fn(f64) -> f64) -> Self {
        self.values.iter_mut().for_each(|v| *v = f(*v));
        self
    }

    /// A function of two, broadcast; `None` where they do not, or the result is too large.
    pub fn zip(&self, other: &Aligned, f: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let fits = |(&a, &b): (&usize, &usize)| {
            if a == b || b == 1 {
                Some(a)
            } else if a == 1 {
                Some(b)
            } else {
                None
            }
        };
        let extents: Vec<usize> = self.extents.iter().zip(&other.extents).map(fits).collect::<Option<_>>()?;
        let (a, b) = (self.spread(&extents)?, other.spread(&extents)?);
        Some(Aligned { extents, values: a.iter().zip(&b).map(|(&a, &b)| f(a, b)).collect() })
    }

    /// The values repeated until they have these extents.
    pub fn spread(&self, extents: &[usize]) -> Option<Vec<f64>> {
        let count = extents.iter().try_fold(1usize, |p, &n| p.checked_mul(n)).filter(|&n| n <= MOST_VALUES)?;
        let own = self.strides();
        let fits = self.extents.iter().zip(extents).all(|(&own, &wanted)| own == 1 || own == wanted);
        let strides: Vec<usize> = own.iter().zip(&self.extents).map(|(&stride, &n)| if n == 1 { 0 } else { stride }).collect();
        fits.then(|| (0..count).map(|i| self.values[place(i, extents, &strides)]).collect())
    }

    /// The values in another order of axes, axis i of the result being `permutation[i]`.
    pub fn transposed(&self, permutation: &[usize]) -> Self {
        let own = self.strides();
        let extents: Vec<usize> = permutation.iter().map(|&axis| self.extents[axis]).collect();
        let strides: Vec<usize> = permutation.iter().map(|&axis| own[axis]).collect();
        let values = (0..self.values.len()).map(|i| self.values[place(i, &extents, &strides)]).collect();
        Aligned { extents, values }
    }

    fn strides(&self) -> Vec<usize> {
        (0..self.extents.len()).map(|axis| self.extents[axis + 1..].iter().product()).collect()
    }

    /// The only value, or the same one everywhere.
    pub fn everywhere(&self) -> Option<f64> {
        let first = *self.values.first()?;
        self.values.iter().all(|&v| v == first).then_some(first)
    }
}

/// The place of element `i` of these extents.
fn place(mut i: usize, extents: &[usize], strides: &[usize]) -> usize {
    let mut place = 0;
    for (&n, &stride) in extents.iter().zip(strides).rev() {
        place += i % n * stride;
        i /= n;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_one_spread() {
        let channels = Aligned::along(1, 3, &[1.0, 2.0]);
        let columns = Aligned::along(2, 3, &[10.0, 20.0, 30.0]);
        assert_eq!(channels.spread(&[1, 2, 2]).unwrap(), [1.0, 1.0, 2.0, 2.0]);
        let sum = channels.zip(&columns, |a, b| a + b).unwrap();
        assert_eq!((sum.extents.clone(), sum.values.clone()), (vec![1, 2, 3], vec![11.0, 21.0, 31.0, 12.0, 22.0, 32.0]));
        assert_eq!(columns.zip(&Aligned::along(2, 3, &[1.0, 2.0]), |a, b| a + b), None);
        let turned = sum.transposed(&[2, 0, 1]);
        assert_eq!((turned.extents, turned.values), (vec![3, 1, 2], vec![11.0, 12.0, 21.0, 22.0, 31.0, 32.0]));
        assert!(Aligned::number(1.0, 3).spread(&[1 << 11, 1 << 11, 1]).is_none());
    }
}
