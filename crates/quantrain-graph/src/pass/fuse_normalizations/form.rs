//! What nodes behind a deviation compute: sums of x, its mean and 1, each times a constant and a power of the deviation.

use super::super::Linked;
use super::super::aligned::Aligned;
use super::super::arithmetic::producer;
use super::deviation::Deviation;
use crate::Op;
use crate::graph::{NodeId, TensorId};
use crate::op::{Activation, Binary};

/// What a constant is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    One,
    X,
    Mean,
}

/// `coefficient · basis / deviation^power`
#[derive(Clone, Debug, PartialEq)]
struct Term {
    basis: Basis,
    power: i32,
    coefficient: Aligned,
}

/// `scale·(x − mean)/deviation + offset`, without the mean where the deviation is that from 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Normalised {
    pub scale: Aligned,
    pub offset: Option<Aligned>,
    /// The nodes that compute it, some of them twice.
    pub nodes: Vec<NodeId>,
}

/// No exporter writes a normalisation with more nodes.
const MOST_NODES: usize = 32;

impl Normalised {
    /// What a tensor is in terms of a deviation, the tensor `root`, and of what that normalises.
    pub fn of(graph: &Linked, tensor: TensorId, deviation: &Deviation, root: TensorId) -> Option<Normalised> {
        let rank = graph.tensor(deviation.x).shape.rank();
        let mut reader = Reader { graph, deviation, root, rank, nodes: Vec::new() };
        let mut terms = reader.terms(tensor)?;
        let mut take = |basis: Basis, power: i32| {
            let at = terms.iter().position(|t| (t.basis, t.power) == (basis, power))?;
            Some(terms.swap_remove(at).coefficient)
        };
        let scale = take(Basis::X, 1)?;
        let mean = take(Basis::Mean, 1);
        let offset = take(Basis::One, 0);
        let fits = match &mean {
            None => !deviation.centred,
            // Each is the other's opposite, to the rounding of a float.
            Some(mean) => {
                let rest = scale.zip(mean, |a, b| if (a + b).abs() <= 1e-6 * a.abs() { 0.0 } else { 1.0 })?;
                deviation.centred && rest.everywhere() == Some(0.0)
            }
        };
        (fits && terms.is_empty()).then_some(Normalised { scale, offset, nodes: reader.nodes })
    }
}

struct Reader<'g> {
    graph: &'g Linked,
    deviation: &'g Deviation,
    /// The tensor that is the deviation, or one through it.
    root: TensorId,
    rank: usize,
    nodes: Vec<NodeId>,
}

impl Reader<'_> {
    fn terms(&mut self, tensor: TensorId) -> Option<Vec<Term>> {
        let one = |basis, power| Some(vec![Term { basis, power, coefficient: Aligned::number(1.0, self.rank) }]);
        if tensor == self.deviation.x {
            return one(Basis::X, 0);
        }
        if tensor == self.root {
            return one(Basis::One, if self.deviation.inverse { 1 } else { -1 });
        }
        if self.graph.constant(tensor).is_some() {
            let coefficient = Aligned::constant(self.graph, tensor, self.rank)?;
            return Some(vec![Term { basis: Basis::One, power: 0, coefficient }]);
        }
        if let Some(nodes) = self.deviation.mean(self.graph, tensor) {
            let mean = one(Basis::Mean, 0);
            self.nodes.extend(nodes);
            return mean;
        }
        let (id, op, inputs) = producer(self.graph, tensor).filter(|_| self.nodes.len() < MOST_NODES)?;
        self.nodes.push(id);
        match (op, inputs) {
            (Op::Identity, &[x]) => self.terms(x),
            (Op::Activation(Activation::Neg), &[x]) => Some(negative(self.terms(x)?)),
            (Op::Binary(Binary::Add), &[a, b]) => sum(self.terms(a)?, self.terms(b)?),
            (Op::Binary(Binary::Sub), &[a, b]) => sum(self.terms(a)?, negative(self.terms(b)?)),
            (Op::Binary(Binary::Mul), &[a, b]) => product(self.terms(a)?, self.terms(b)?),
            (Op::Binary(Binary::Div), &[a, b]) => {
                let divisor = <[Term; 1]>::try_from(self.terms(b)?).ok().filter(|[d]| d.basis == Basis::One)?;
                let inverse = divisor.map(|d| Term { power: -d.power, coefficient: d.coefficient.map(|c| 1.0 / c), ..d });
                product(self.terms(a)?, inverse.to_vec())
            }
            _ => None,
        }
    }
}

fn negative(terms: Vec<Term>) -> Vec<Term> {
    terms.into_iter().map(|t| Term { coefficient: t.coefficient.map(|c| -c), ..t }).collect()
}

fn sum(a: Vec<Term>, b: Vec<Term>) -> Option<Vec<Term>> {
    let mut terms = a;
    for term in b {
        match terms.iter_mut().find(|t| (t.basis, t.power) == (term.basis, term.power)) {
            Some(same) => same.coefficient = same.coefficient.zip(&term.coefficient, |a, b| a + b)?,
            None => terms.push(term),
        }
    }
    Some(terms)
}

/// A product of which one factor holds neither x nor its mean.
fn product(a: Vec<Term>, b: Vec<Term>) -> Option<Vec<Term>> {
    let mut terms = Vec::new();
    for a in &a {
        for b in &b {
            let basis = match (a.basis, b.basis) {
                (basis, Basis::One) | (Basis::One, basis) => basis,
                _ => return None,
            };
            let coefficient = a.coefficient.zip(&b.coefficient, |a, b| a * b)?;
            terms = sum(terms, vec![Term { basis, power: a.power + b.power, coefficient }])?;
        }
    }
    Some(terms)
}
