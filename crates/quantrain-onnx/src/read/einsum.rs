//! Einsum of one or two operands: axes are put in order, summed, and what is left is a MatMul or a Mul.

use quantrain_graph::op::{Binary, MatMul, Reduce, Reduction, Transpose};
use quantrain_graph::{Dim, Op};

use super::matmul::{joined, reshaped};
use super::node::{NodeReader, Operand};
use crate::NodeError;

/// The axes of an operand by their labels.
struct Labelled {
    x: Operand,
    labels: Vec<char>,
}

pub(super) fn einsum(node: &mut NodeReader) -> Result<(), NodeError> {
    let operands = node.operands(0)?;
    let equation = node.string("equation")?.ok_or(NodeError::AttributeMissing { attribute: "equation" })?;
    let refused = || NodeError::Value {
        what: "equation",
        found: equation.clone(),
        expected: "one or two operands, each label once in each of them, none of them `...`".into(),
    };
    let (inputs, result) = terms(&equation).filter(|(inputs, _)| inputs.len() == operands.len()).ok_or_else(refused)?;
    let mut labelled = Vec::with_capacity(operands.len());
    for (x, labels) in operands.into_iter().zip(inputs) {
        if node.shape(&x).rank() != labels.len() {
            return Err(refused());
        }
        labelled.push(Labelled { x, labels });
    }
    if result.iter().any(|label| !labelled.iter().any(|l| l.labels.contains(label))) {
        return Err(refused());
    }
    match <[Labelled; 2]>::try_from(labelled) {
        Ok([a, b]) => {
            // Weights come second.
            let (a, b) = if matches!(a.x, Operand::Constant { .. }) { (b, a) } else { (a, b) };
            product(node, a, b, &result)
        }
        Err(one) => match one.into_iter().next() {
            Some(x) => {
                let x = summed(node, x, |label| result.contains(&label))?;
                let permutation = order(&x.labels, &result);
                node.add(Op::Transpose(Transpose { permutation }), vec![x.x])
            }
            None => Err(refused()),
        },
    }
}

/// The labels of each input and of the result, which are those that occur once where the equation names none.
fn terms(equation: &str) -> Option<(Vec<Vec<char>>, Vec<char>)> {
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (inputs, result) = equation.split_once("->").map_or((equation.as_str(), None), |(inputs, result)| (inputs, Some(result)));
    let inputs: Vec<Vec<char>> = inputs.split(',').map(|term| term.chars().collect()).collect();
    let result: Vec<char> = match result {
        Some(result) => result.chars().collect(),
        None => {
            let all: Vec<char> = inputs.iter().flatten().copied().collect();
            let mut once: Vec<char> = all.iter().copied().filter(|label| all.iter().filter(|l| *l == label).count() == 1).collect();
            once.sort_unstable();
            once
        }
    };
    let distinct = |labels: &Vec<char>| labels.iter().enumerate().all(|(i, l)| l.is_ascii_alphabetic() && !labels[..i].contains(l));
    (inputs.iter().all(distinct) && distinct(&result)).then_some((inputs, result))
}

/// Where each wanted label is.
fn order(labels: &[char], wanted: &[char]) -> Vec<usize> {
    wanted.iter().filter_map(|label| labels.iter().position(|l| l == label)).collect()
}

/// Without the axes that nobody else has.
fn summed(node: &mut NodeReader, Labelled { x, labels }: Labelled, stays: impl Fn(char) -> bool) -> Result<Labelled, NodeError> {
    let gone: Vec<i64> = (0i64..).zip(&labels).filter(|(_, label)| !stays(**label)).map(|(axis, _)| axis).collect();
    if gone.is_empty() {
        return Ok(Labelled { x, labels });
    }
    let x = node.step(Op::Reduce(Reduce { function: Reduction::Sum, axes: gone, keep_dims: false }), vec![x])?;
    Ok(Labelled { x, labels: labels.into_iter().filter(|&label| stays(label)).collect() })
}

/// The axes of an operand in another order; constants are turned at once.
fn turned(node: &mut NodeReader, Labelled { x, labels }: Labelled, wanted: &[char]) -> Result<Operand, NodeError> {
    let permutation = order(&labels, wanted);
    if permutation.is_sorted() { Ok(x) } else { node.step(Op::Transpose(Transpose { permutation }), vec![x]) }
}

fn product(node: &mut NodeReader, a: Labelled, b: Labelled, result: &[char]) -> Result<(), NodeError> {
    let (in_a, in_b) = (a.labels.clone(), b.labels.clone());
    let a = summed(node, a, |label| result.contains(&label) || in_b.contains(&label))?;
    let b = summed(node, b, |label| result.contains(&label) || in_a.contains(&label))?;
    let of = |labels: &[char], belongs: &dyn Fn(char) -> bool| labels.iter().copied().filter(|&l| belongs(l)).collect::<Vec<char>>();
    let batch = of(&a.labels, &|l| b.labels.contains(&l) && result.contains(&l));
    let inner = of(&a.labels, &|l| b.labels.contains(&l) && !result.contains(&l));
    let (left, right) = (of(&a.labels, &|l| !b.labels.contains(&l)), of(&b.labels, &|l| !a.labels.contains(&l)));
    let labels = [&batch[..], &left, &right].concat();
    let sizes = |node: &NodeReader, x: &Operand, count: [usize; 3]| -> [Vec<Dim>; 3] {
        let dims = node.shape(x).0;
        let (first, rest) = dims.split_at(count[0].min(dims.len()));
        let (second, third) = rest.split_at(count[1].min(rest.len()));
        [first.to_vec(), second.to_vec(), third.to_vec()]
    };
    let a = turned(node, a, &[&batch[..], &left, &inner].concat())?;
    let b = turned(node, b, &[&batch[..], &inner, &right].concat())?;
    let [outer, rows, ka] = sizes(node, &a, [batch.len(), left.len(), inner.len()]);
    let [outer_b, kb, columns] = sizes(node, &b, [batch.len(), inner.len(), right.len()]);
    let one = |dims: &[Dim]| -> Result<Dim, NodeError> {
        let found =
            || NodeError::Value { what: "equation", found: "axes that both depend on the batch".into(), expected: "one of them".into() };
        dims.iter().copied().try_fold(Dim::Fixed(1), joined).ok_or_else(found)
    };
    let (op, a, b) = if inner.is_empty() {
        // Nothing is summed: every element of one meets every element of the other.
        let ones = |count: usize| vec![Dim::Fixed(1); count];
        let a = reshaped(node, a, [&outer[..], &rows, &ones(right.len())].concat())?;
        let b = reshaped(node, b, [&outer_b[..], &ones(left.len()), &columns].concat())?;
        (Op::Binary(Binary::Mul), a, b)
    } else {
        // Samples stay an axis of their own where weights are met.
        let (first, rest) = rows.split_at(usize::from(batch.is_empty() && rows.len() > 1));
        let a = reshaped(node, a, [&outer[..], first, &[one(rest)?, one(&ka)?]].concat())?;
        let b = reshaped(node, b, [&outer_b[..], &[one(&kb)?, one(&columns)?]].concat())?;
        (Op::MatMul(MatMul), a, b)
    };
    let y = node.step(op, vec![a, b])?;
    let y = reshaped(node, y, [&outer[..], &rows, &columns].concat())?;
    node.add(Op::Transpose(Transpose { permutation: order(&labels, result) }), vec![y])
}
