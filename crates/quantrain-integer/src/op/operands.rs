//! The operands of a node: constants, and what comes as inputs.

use super::Site;
use super::steps::Scaled;

/// The constants among N operands.
pub(super) struct Operands<const N: usize>([Option<Vec<f32>>; N]);

impl<const N: usize> Operands<N> {
    pub fn new(site: &Site) -> Self {
        Operands(std::array::from_fn(|i| site.at.constant(i).map(<[f32]>::to_vec)))
    }

    /// Values and units of all operands; `x` holds those that are no constants, in order.
    pub fn with<'a>(&'a self, x: &'a [Scaled]) -> [(&'a [f32], f32); N] {
        let mut given = x.iter();
        std::array::from_fn(|i| match &self.0[i] {
            Some(values) => (values.as_slice(), 1.0),
            None => given.next().map(|x| (x.values.as_slice(), x.scale)).expect("one input for each operand that is no constant"),
        })
    }
}
