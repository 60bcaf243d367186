//! `conv(x) + b`, b a constant of channels, several nodes → one convolution or product with a bias, whose sums are rounded once.

use super::aligned::Aligned;
use super::arithmetic::producer;
use super::{Input, Linked, Pass, Patch, Step};
use crate::Op;
use crate::graph::{NodeId, TensorId};
use crate::op::{Binary, Gemm};

/// Puts a constant addend of channels into the bias of the convolution or Gemm before it; a product of matrices becomes a Gemm with one.
#[derive(Clone, Copy, Debug, Default)]
pub struct FuseBias;

impl Pass for FuseBias {
    fn name(&self) -> &'static str {
        "fuse bias"
    }

    fn find(&self, graph: &Linked, at: NodeId) -> Option<Patch> {
        let node = graph.node(at);
        let &[a, b] = &node.inputs[..] else { return None };
        let (before, constant, sign) = match (&node.op, graph.constant(a), graph.constant(b)) {
            (Op::Binary(Binary::Add), None, Some(_)) => (a, b, 1.0),
            (Op::Binary(Binary::Add), Some(_), None) => (b, a, 1.0),
            (Op::Binary(Binary::Sub), None, Some(_)) => (a, b, -1.0),
            _ => return None,
        };
        graph.single_reader(before)?;
        let (core, block, inputs) = producer(graph, before)?;
        let &[x, weight, ..] = inputs else { return None };
        graph.constant(weight)?;
        let with_bias = match block {
            Op::Convolution(_) | Op::ConvTranspose(_) | Op::Gemm(Gemm { beta: 1.0, .. }) => block.clone(),
            Op::MatMul(_) if [x, weight].iter().all(|&t| graph.tensor(t).shape.rank() == 2) => {
                Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: false })
            }
            _ => return None,
        };
        let addend = channels(graph, before, constant)?;
        let own = match inputs.get(2) {
            Some(&bias) => graph.constant(bias).filter(|own| own.len() == addend.len())?.to_vec(),
            None => vec![0.0; addend.len()],
        };
        let values = own.iter().zip(&addend).map(|(&own, &addend)| (f64::from(own) + sign * addend) as f32).collect();
        let wish = format!("{}.bias", graph.tensor(node.output).name);
        let bias = Input::Constant { wish, shape: vec![addend.len()], values };
        let step = Step { op: with_bias, inputs: vec![Input::Tensor(x), Input::Tensor(weight), bias] };
        // Layers are known by the names of their convolutions.
        Some(Patch { named: core, ..Patch::ending_at(at, vec![core], vec![step]) })
    }
}

/// The values of a constant, one for each channel; `None` where it depends on another axis.
fn channels(graph: &Linked, before: TensorId, constant: TensorId) -> Option<Vec<f64>> {
    let shape = &graph.tensor(before).shape;
    let values = Aligned::constant(graph, constant, shape.rank())?;
    let mut extents = vec![1; shape.rank()];
    *extents.get_mut(1)? = shape.fixed_at(1).ok()?;
    (0..shape.rank()).all(|axis| axis == 1 || !values.depends_on(axis)).then(|| values.spread(&extents))?
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::super::spelling::Spelling;
    use super::*;
    use crate::op::{Convolution, MatMul, Window};

    /// A convolution of 3 to 2 channels, each weight 1, and what comes behind.
    fn convolution(s: &mut Spelling, bias: Option<Vec<f32>>) -> TensorId {
        let mut inputs = vec![s.x, s.constant(&[2, 3, 1, 1], vec![1.0; 6])];
        inputs.extend(bias.map(|bias| s.constant(&[2], bias)));
        s.node(Op::Convolution(Convolution { window: Window::new([1, 1]), groups: 1 }), &inputs)
    }

    #[test]
    fn addends_of_channels_go_into_the_bias_or_become_one() {
        for (own, expected) in [(None, vec![2.5, 3.5]), (Some(vec![1.0, 2.0]), vec![3.5, 5.5])] {
            let mut s = Spelling::new(&[3, 4, 4]);
            let y = convolution(&mut s, own);
            let addend = s.constant(&[2, 1, 1], vec![3.0, 4.0]);
            let y = s.two(Binary::Add, addend, y);
            let y = s.with(Binary::Sub, y, 0.5);
            let (graph, record) = s.run(y, &FuseBias);
            let [_, node] = graph.nodes() else { panic!("{:?}", graph.nodes()) };
            assert_eq!((graph.constant(node.inputs[2]).unwrap(), node.name.as_str()), (&expected[..], "n1"));
            assert_eq!((record[0].operators.clone(), &record[0].outcome), (vec!["Conv", "Add", "Sub"], &Ok("Conv")));
            assert_eq!(run(graph.clone(), &[&FuseBias]), (graph, Vec::new()));
        }
    }

    #[test]
    fn a_product_of_matrices_gets_a_bias_and_one_of_stacks_does_not() {
        for (extents, addend, expected) in
            [(&[3][..], &[2][..], Some(&[3.0, 4.0])), (&[3], &[1, 2], Some(&[3.0, 4.0])), (&[5, 3], &[2], None)]
        {
            let mut s = Spelling::new(extents);
            let weights = s.constant(&[3, 2], vec![1.0; 6]);
            let y = s.node(Op::MatMul(MatMul), &[s.x, weights]);
            let addend = s.constant(addend, vec![3.0, 4.0]);
            let y = s.two(Binary::Add, y, addend);
            let (graph, record) = s.run(y, &FuseBias);
            let node = graph.nodes().last().unwrap();
            let bias = node.inputs.get(2).and_then(|&bias| graph.constant(bias));
            assert_eq!(bias, expected.map(|bias| &bias[..]), "{extents:?}");
            match expected {
                Some(_) => assert_eq!((node.op.name(), &record[0].outcome), ("Gemm", &Ok("Gemm"))),
                None => assert_eq!((node.op.name(), record.len()), ("Add", 0)),
            }
        }
    }

    #[test]
    fn constants_along_other_axes_and_sums_read_twice_are_left_alone() {
        for twice in [false, true] {
            let mut s = Spelling::new(&[3, 4, 4]);
            let y = convolution(&mut s, None);
            let addend = if twice { s.number(1.0) } else { s.constant(&[4], vec![1.0, 2.0, 3.0, 4.0]) };
            let z = s.two(Binary::Add, y, addend);
            if twice {
                s.b.output(y);
            }
            let (graph, record) = s.run(z, &FuseBias);
            assert_eq!((graph.nodes().len(), record.len()), (3, 0));
        }
    }
}
