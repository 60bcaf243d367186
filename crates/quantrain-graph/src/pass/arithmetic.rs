//! Arithmetic with single numbers, as exporters spell functions out: chains of Add, Sub, Mul and Div with constants.

use super::Linked;
use crate::Op;
use crate::graph::{NodeId, TensorId};
use crate::op::Binary;

/// The node that writes a tensor.
pub(super) fn producer(graph: &Linked, tensor: TensorId) -> Option<(NodeId, &Op, &[TensorId])> {
    let id = graph.producer(tensor)?;
    let node = graph.node(id);
    Some((id, &node.op, &node.inputs))
}

/// A constant of one value.
pub(super) fn number(graph: &Linked, tensor: TensorId) -> Option<f64> {
    match graph.constant(tensor)? {
        [value] => Some(f64::from(*value)),
        _ => None,
    }
}

/// Whether a constant of a file is meant to be this number: f32, printed with six digits and read again.
pub(super) fn is(value: f64, meant: f64) -> bool {
    (value - meant).abs() <= 1e-5 * meant.abs()
}

/// An operand that is a single number, the other operand, and whether the number is the second.
fn with_number(graph: &Linked, inputs: &[TensorId]) -> Option<(TensorId, f64, bool)> {
    let &[a, b] = inputs else { return None };
    match (number(graph, a), number(graph, b)) {
        (None, Some(n)) => Some((a, n, true)),
        (Some(n), None) => Some((b, n, false)),
        _ => None,
    }
}

/// No exporter spells a function out with more arithmetic.
const MOST_NODES: usize = 8;

/// `slope·x + offset`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine {
    pub x: TensorId,
    pub slope: f64,
    pub offset: f64,
    /// The nodes that compute it, the last first.
    pub nodes: Vec<NodeId>,
}

impl Affine {
    /// A tensor as an affine function of the first tensor that is none of another, or that several nodes read.
    pub fn of(graph: &Linked, tensor: TensorId) -> Affine {
        let mut f = Affine { x: tensor, slope: 1.0, offset: 0.0, nodes: Vec::new() };
        // What several nodes read is what the function is of.
        while f.nodes.len() < MOST_NODES && (f.nodes.is_empty() || graph.single_reader(f.x).is_some()) {
            let Some((id, Op::Binary(op), inputs)) = producer(graph, f.x) else { break };
            let Some((x, n, second)) = with_number(graph, inputs) else { break };
            let (slope, offset) = match (op, second) {
                (Binary::Add, _) => (1.0, n),
                (Binary::Sub, true) => (1.0, -n),
                (Binary::Sub, false) => (-1.0, n),
                (Binary::Mul, _) => (n, 0.0),
                (Binary::Div, true) => (1.0 / n, 0.0),
                _ => break,
            };
            (f.slope, f.offset) = (f.slope * slope, f.slope * offset + f.offset);
            f.x = x;
            f.nodes.push(id);
        }
        f
    }
}

/// `scale·Π factors`, one or two of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Product {
    pub scale: f64,
    pub factors: Vec<TensorId>,
    /// The nodes that compute it, the last first.
    pub nodes: Vec<NodeId>,
}

impl Product {
    /// The product that the node `at` ends; `None` where it is no Mul and no Div by a number.
    pub fn ending_at(graph: &Linked, at: NodeId) -> Option<Product> {
        let mut p = Product { scale: 1.0, factors: Vec::new(), nodes: Vec::new() };
        p.take(graph, graph.node(at).output, true);
        (!p.nodes.is_empty()).then_some(p)
    }

    fn take(&mut self, graph: &Linked, tensor: TensorId, last: bool) {
        if self.nodes.len() >= MOST_NODES || !last && graph.single_reader(tensor).is_none() {
            return self.factors.push(tensor);
        }
        let Some((id, Op::Binary(op), inputs)) = producer(graph, tensor) else { return self.factors.push(tensor) };
        match (op, with_number(graph, inputs)) {
            (Binary::Mul, Some((x, n, _))) => {
                self.scale *= n;
                self.nodes.push(id);
                self.take(graph, x, false);
            }
            (Binary::Div, Some((x, n, true))) => {
                self.scale /= n;
                self.nodes.push(id);
                self.take(graph, x, false);
            }
            (Binary::Mul, None) if inputs.iter().all(|&t| graph.constant(t).is_none()) => {
                self.nodes.push(id);
                inputs.iter().for_each(|&t| self.take(graph, t, false));
            }
            _ => self.factors.push(tensor),
        }
    }
}
