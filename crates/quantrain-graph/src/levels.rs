//! Tensors of few values, known without running the network: truths, masks of 0 and −∞, and what is computed of such alone.

use crate::Op;
use crate::graph::{ElementType, Graph, Node, TensorId};
use crate::op::{Activation, Binary, PadMode};

/// More different values than this are not followed.
const MOST: usize = 8;

/// Of each tensor, in ascending order, the values that its elements may have whatever the network reads, where they are few.
pub(crate) struct Levels {
    values: Vec<Option<Vec<f32>>>,
    /// Whether a node writes the tensor.
    computed: Vec<bool>,
}

impl Levels {
    /// Of the tensors of a graph.
    pub fn of(graph: &Graph) -> Self {
        let constants = graph.tensors().iter().map(|t| distinct(t.constant.as_ref()?.iter().copied()));
        let mut levels = Levels { values: constants.collect(), computed: vec![false; graph.tensors().len()] };
        for &input in graph.inputs().iter().filter(|t| graph.element_type(**t) == ElementType::Bool) {
            levels.values[input.0] = Some(vec![0.0, 1.0]);
        }
        for node in graph.nodes() {
            levels.values[node.output.0] = levels.of_node(node);
            levels.computed[node.output.0] = true;
        }
        levels
    }

    /// The values of a tensor.
    pub fn get(&self, tensor: TensorId) -> Option<&[f32]> {
        self.values[tensor.0].as_deref()
    }

    /// Whether a node gives these few values: truths, a mask.
    pub fn is_computed(&self, tensor: TensorId) -> bool {
        self.computed[tensor.0] && self.values[tensor.0].is_some()
    }

    fn of_node(&self, node: &Node) -> Option<Vec<f32>> {
        let input = |i: usize| node.inputs.get(i).and_then(|&t| self.get(t));
        let all = |ids: &[TensorId]| ids.iter().map(|&t| self.get(t)).collect::<Option<Vec<_>>>().map(|v| v.concat());
        match &node.op {
            Op::Binary(Binary::Relation(_)) => Some(vec![0.0, 1.0]),
            Op::Activation(function) if function.is_truth() => Some(vec![0.0, 1.0]),
            Op::Activation(Activation::Sign) => Some(vec![-1.0, 0.0, 1.0]),
            Op::Activation(function) => {
                let values: Option<Vec<f32>> = input(0)?.iter().map(|&x| value(function, x)).collect();
                distinct(values?.into_iter())
            }
            Op::Binary(op) => {
                let b = input(1)?;
                let pairs: Option<Vec<f32>> = input(0)?.iter().flat_map(|&a| b.iter().map(move |&b| joined(*op, a, b))).collect();
                distinct(pairs?.into_iter())
            }
            Op::Where(_) => distinct(all(&node.inputs[1..])?.into_iter()),
            Op::Concat(_) => distinct(all(&node.inputs)?.into_iter()),
            Op::Pad(pad) => match pad.mode {
                PadMode::Constant(fill) => distinct(input(0)?.iter().copied().chain([fill])),
                PadMode::Reflect | PadMode::Edge | PadMode::Wrap => input(0).map(<[f32]>::to_vec),
            },
            op if crate::placement::moves(op) => input(0).map(<[f32]>::to_vec),
            _ => None,
        }
    }
}

/// The different ones of some values, where there are few and none is NaN.
fn distinct(values: impl Iterator<Item = f32>) -> Option<Vec<f32>> {
    let mut found: Vec<f32> = Vec::new();
    for v in values {
        if !found.contains(&v) {
            if v.is_nan() || found.len() == MOST {
                return None;
            }
            found.push(v);
        }
    }
    found.sort_by(f32::total_cmp);
    (!found.is_empty()).then_some(found)
}

/// Of functions that are met in the arithmetic of masks.
fn value(function: &Activation, x: f32) -> Option<f32> {
    Some(match *function {
        Activation::Relu => x.max(0.0),
        Activation::Clip { min, max } => x.max(min).min(max),
        Activation::Neg => -x,
        Activation::Abs => x.abs(),
        Activation::Floor => x.floor(),
        Activation::Ceil => x.ceil(),
        Activation::Round => x.round_ties_even(),
        _ => return None,
    })
}

fn joined(op: Binary, a: f32, b: f32) -> Option<f32> {
    Some(match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        Binary::Pow | Binary::PRelu | Binary::Relation(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GraphBuilder;
    use crate::op::{MaxPool, Relation, Where, Window};

    #[test]
    fn what_is_computed_of_truths_alone_has_few_values() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2, 4, 4]);
        let zero = b.constant("zero", &[1], vec![0.0]).unwrap();
        let one = b.constant("one", &[1], vec![1.0]).unwrap();
        let low = b.constant("low", &[1], vec![-1e9]).unwrap();
        let infinite = b.constant("infinite", &[1], vec![f32::NEG_INFINITY]).unwrap();
        let many = b.constant("many", &[9], (0..9u8).map(f32::from).collect()).unwrap();
        let truth = b.node("truth", Op::Binary(Binary::Relation(Relation::Less)), &[x, zero], "truth").unwrap();
        let inverse = b.node("inverse", Op::Binary(Binary::Sub), &[one, truth], "inverse").unwrap();
        let mask = b.node("mask", Op::Binary(Binary::Mul), &[inverse, low], "mask").unwrap();
        let chosen = b.node("chosen", Op::Where(Where), &[truth, infinite, zero], "chosen").unwrap();
        let pool = b.node("pool", Op::MaxPool(MaxPool { window: Window::new([2, 2]) }), &[truth], "pool").unwrap();
        let negated = b.node("negated", Op::Activation(Activation::Neg), &[chosen], "negated").unwrap();
        let undefined = b.node("undefined", Op::Binary(Binary::Add), &[chosen, negated], "undefined").unwrap();
        let sum = b.node("sum", Op::Binary(Binary::Add), &[x, mask], "sum").unwrap();
        for t in [mask, chosen, pool, undefined, sum] {
            b.output(t);
        }
        let graph = b.finish().unwrap();
        let levels = Levels::of(&graph);
        let of = |name: &str| levels.get(graph.find(name).unwrap());
        assert_eq!(of("truth"), Some(&[0.0, 1.0][..]));
        assert_eq!(of("inverse"), Some(&[0.0, 1.0][..]));
        assert_eq!(of("mask"), Some(&[-1e9, 0.0][..]));
        assert_eq!(of("chosen"), Some(&[f32::NEG_INFINITY, 0.0][..]));
        assert_eq!(of("pool"), Some(&[0.0, 1.0][..]));
        assert_eq!((of("undefined"), of("sum"), of("x")), (None, None, None), "∞ − ∞ is no number");
        assert_eq!((levels.get(many), levels.get(low)), (None, Some(&[-1e9][..])));
        assert!(levels.is_computed(mask) && !levels.is_computed(low) && !levels.is_computed(sum));
    }
}
