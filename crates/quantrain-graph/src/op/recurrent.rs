//! Recurrent layers: LSTM, GRU and the plain cell, a step for each index of the first axis.

use crate::op::Activation;
use crate::{Dim, Shape, ShapeError};

/// The formula of a step, in ONNX's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// LSTM: gates i, o, f, c; functions f, g, h.
    Lstm,
    /// GRU: gates z, r, h; functions f, g.
    Gru {
        /// The reset gate multiplies the product with R, else what goes into it.
        linear_before_reset: bool,
    },
    /// RNN: one gate, one function.
    Plain,
}

impl Cell {
    /// Number of gates.
    pub fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru { .. } => 3,
            Cell::Plain => 1,
        }
    }

    /// Number of functions.
    pub fn functions(self) -> usize {
        match self {
            Cell::Lstm => 3,
            Cell::Gru { .. } => 2,
            Cell::Plain => 1,
        }
    }
}

/// Which way the steps go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first step to the last.
    Forward,
    /// From the last step to the first.
    Reverse,
    /// Both, each with its own parameters.
    Bidirectional,
}

impl Direction {
    /// Number of directions.
    pub fn count(self) -> usize {
        if self == Direction::Bidirectional { 2 } else { 1 }
    }
}

/// What the layer hands out, joined along the first axis in this order where it is more than one state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// H of every step: ONNX's Y.
    pub sequence: bool,
    /// H behind the last step: Y_h.
    pub hidden: bool,
    /// C behind the last step: Y_c, of a LSTM.
    pub cell: bool,
}

/// Which of the optional inputs are there, in their order behind x, W and R.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Optional {
    /// B.
    pub bias: bool,
    /// P, of a LSTM.
    pub peepholes: bool,
    /// H at the start.
    pub hidden: bool,
    /// C at the start, of a LSTM.
    pub cell: bool,
}

/// Inputs x `[T, N, I]`, W `[D, gates·H, I]`, R `[D, gates·H, H]`, and as [`Optional`] says B `[D, 2·gates·H]`, P `[D, 3·H]`, and
/// H and C at the start, `[D, N, H]` each; D directions. The samples are axis 1, as in ONNX's layout 0.
///
/// The output is `[T, D, N, H]` of the sequence, `[D, N, H]` of one state, or `[T + states, D, N, H]` of several [`Results`].
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrent {
    /// The formula of a step.
    pub cell: Cell,
    /// Which way the steps go.
    pub direction: Direction,
    /// H, the number of values that a step gives.
    pub hidden: usize,
    /// The functions of each direction, in ONNX's order.
    pub functions: Vec<Activation>,
    /// Which optional inputs are there.
    pub optional: Optional,
    /// The length of each sample's sequence, where some are shorter than T.
    pub lengths: Option<Vec<usize>>,
    /// What is handed out.
    pub results: Results,
}

impl Recurrent {
    /// ONNX's name of the operator.
    pub fn name(&self) -> &'static str {
        match self.cell {
            Cell::Lstm => "LSTM",
            Cell::Gru { .. } => "GRU",
            Cell::Plain => "RNN",
        }
    }

    /// How many parameters there are: they are the inputs behind x.
    pub fn parameters(&self) -> usize {
        2 + usize::from(self.optional.bias) + usize::from(self.optional.peepholes)
    }

    /// Where the optional inputs are.
    pub fn places(&self) -> Places {
        let mut next = 3;
        let mut place = |is_there: bool| {
            let at = next;
            next += usize::from(is_there);
            is_there.then_some(at)
        };
        let Optional { bias, peepholes, hidden, cell } = self.optional;
        let [bias, peepholes, hidden, cell] = [bias, peepholes, hidden, cell].map(&mut place);
        Places { bias, peepholes, hidden, cell, count: next }
    }

    pub(super) fn output_shape(&self, inputs: &[&Shape]) -> Result<Shape, ShapeError> {
        let x = inputs[0];
        let (steps, features) = (x.fixed_at(0)?, x.fixed_at(2)?);
        let samples = *x.0.get(1).filter(|_| x.rank() == 3).ok_or_else(|| ShapeError::AxisNotFixed { axis: 1, shape: x.clone() })?;
        let (directions, gates) = (self.direction.count(), self.cell.gates().saturating_mul(self.hidden));
        let state = Shape(vec![Dim::Fixed(directions), samples, Dim::Fixed(self.hidden)]);
        let places = self.places();
        let expected = [
            (Some(1), Shape::fixed(&[directions, gates, features])),
            (Some(2), Shape::fixed(&[directions, gates, self.hidden])),
            (places.bias, Shape::fixed(&[directions, gates.saturating_mul(2)])),
            (places.peepholes, Shape::fixed(&[directions, self.hidden.saturating_mul(3)])),
            (places.hidden, state.clone()),
            (places.cell, state.clone()),
        ];
        for (at, expected) in expected {
            if let Some(&found) = at.and_then(|at| inputs.get(at)).filter(|found| ***found != expected) {
                return Err(ShapeError::Operand { found: found.clone(), expected });
            }
        }
        if let Some(lengths) = self.lengths.as_ref().filter(|lengths| samples != Dim::Fixed(lengths.len())) {
            return Err(ShapeError::Operand { found: Shape::fixed(&[lengths.len()]), expected: Shape(vec![samples]) });
        }
        let Results { sequence, hidden, cell } = self.results;
        let states = usize::from(hidden) + usize::from(cell);
        if !sequence && states == 1 {
            return Ok(state);
        }
        let first = if sequence { steps.saturating_add(states) } else { states };
        Ok(Shape([&[Dim::Fixed(first)], &state.0[..]].concat()))
    }
}

/// Positions of optional inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// B.
    pub bias: Option<usize>,
    /// P.
    pub peepholes: Option<usize>,
    /// H at the start.
    pub hidden: Option<usize>,
    /// C at the start.
    pub cell: Option<usize>,
    /// Number of all inputs.
    pub count: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lstm(direction: Direction, optional: Optional, results: Results) -> Recurrent {
        let functions = [Activation::Sigmoid, Activation::Tanh, Activation::Tanh].repeat(direction.count());
        Recurrent { cell: Cell::Lstm, direction, hidden: 5, functions, optional, lengths: None, results }
    }

    #[test]
    fn the_output_is_what_is_handed_out_joined_along_the_steps() {
        let x = Shape(vec![Dim::Fixed(7), Dim::Batch(1), Dim::Fixed(3)]);
        let shape = |direction: Direction, results| {
            let d = direction.count();
            let (w, r) = (Shape::fixed(&[d, 20, 3]), Shape::fixed(&[d, 20, 5]));
            lstm(direction, Optional::default(), results).output_shape(&[&x, &w, &r]).unwrap().to_string()
        };
        let (sequence, hidden, cell) = (true, true, true);
        assert_eq!(shape(Direction::Forward, Results { sequence, ..Results::default() }), "[7, 1, N, 5]");
        assert_eq!(shape(Direction::Bidirectional, Results { hidden, ..Results::default() }), "[2, N, 5]");
        assert_eq!(shape(Direction::Bidirectional, Results { sequence, hidden, cell }), "[9, 2, N, 5]");
        assert_eq!(shape(Direction::Reverse, Results { hidden, cell, sequence: false }), "[2, 1, N, 5]");
    }

    #[test]
    fn the_samples_are_axis_1_and_inputs_have_their_shapes() {
        let op =
            lstm(Direction::Forward, Optional { hidden: true, ..Optional::default() }, Results { sequence: true, ..Results::default() });
        assert_eq!(op.places().count, 4);
        let (w, r) = (Shape::fixed(&[1, 20, 3]), Shape::fixed(&[1, 20, 5]));
        let x = Shape(vec![Dim::Fixed(7), Dim::Batch(1), Dim::Fixed(3)]);
        let start = Shape(vec![Dim::Fixed(1), Dim::Batch(1), Dim::Fixed(5)]);
        assert!(op.output_shape(&[&x, &w, &r, &start]).is_ok());
        let of_one = Shape::fixed(&[1, 1, 5]);
        assert!(matches!(op.output_shape(&[&x, &w, &r, &of_one]), Err(ShapeError::Operand { .. })));
        assert!(matches!(op.output_shape(&[&x, &r, &r, &start]), Err(ShapeError::Operand { .. })));
        let batch_first = Shape::batched(&[7, 3]);
        assert!(matches!(op.output_shape(&[&batch_first, &w, &r, &start]), Err(ShapeError::AxisNotFixed { axis: 0, .. })));
    }
}
