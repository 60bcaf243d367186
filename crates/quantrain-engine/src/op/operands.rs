//! The operands of a node: constants that stay as they are, and what comes as inputs.

use quantrain_lowering::Site;

use super::Scaled;

/// The constants among N operands. Those that are trained come as inputs.
pub(super) struct Operands<const N: usize>([Option<Vec<f32>>; N]);

impl<const N: usize> Operands<N> {
    pub fn new(site: &Site) -> Self {
        let trained = site.node.op.trained_inputs();
        Operands(std::array::from_fn(|i| site.constant(i).filter(|_| !trained.contains(&i)).map(<[f32]>::to_vec)))
    }

    /// All operands; `x` holds those that are no fixed constants, in order.
    pub fn with<'a>(&'a self, x: &[Scaled<'a>]) -> [Scaled<'a>; N] {
        let mut given = x.iter().copied();
        std::array::from_fn(|i| match &self.0[i] {
            Some(values) => Scaled { values, scale: 1.0 },
            None => given.next().expect("one input for each operand that is no constant"),
        })
    }

    /// Which operand the input `which` is.
    pub fn position(&self, which: usize) -> usize {
        (0..N).filter(|&i| self.0[i].is_none()).nth(which).expect("one input for each operand that is no constant")
    }
}
