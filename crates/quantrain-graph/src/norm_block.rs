//! A BatchNormalization that no block takes becomes a block: x → BatchNormalization turns into x → Conv of ones → BatchNormalization.
//!
//! The convolution is depthwise with one element, so it hands on its input to the bit. With it the normalisation behind a Concat, an Add or
//! the network's input trains in every mode, is quantized where the target has convolutions, and is exported folded, as a Conv.

use crate::graph::{Graph, Node, Tensor, TensorId};
use crate::op::{Convolution, Window};
use crate::target::Placement;
use crate::{NodeId, Op, Shape, Target, block};

/// Puts a convolution before each BatchNormalization of an image that stands alone, unless the target has an integer form of its own for it.
pub(crate) fn give_blocks(mut graph: Graph, target: &Target) -> Graph {
    let alone = |graph: &Graph, n: NodeId| {
        let node = graph.node(n);
        matches!(node.op, Op::BatchNormalization(_))
            && target.placement(&node.op) == Placement::Float
            && graph.constant(node.inputs[0]).is_none()
            && graph.tensor(node.inputs[0]).shape.image().is_ok()
    };
    let lone: Vec<NodeId> = block::units(&graph, target).iter().map(|u| u.core).filter(|&n| alone(&graph, n)).collect();
    // From the back, so that the positions of the others stay.
    for &NodeId(at) in lone.iter().rev() {
        let (name, x) = (graph.nodes[at].name.clone(), graph.nodes[at].inputs[0]);
        let shape = graph.tensor(x).shape.clone();
        let channels = shape.image().map_or(0, |image| image.0);
        let ones = add(&mut graph, &format!("{name}.ones"), Shape::fixed(&[channels, 1, 1, 1]), Some(vec![1.0; channels]));
        let copy = add(&mut graph, &format!("{name}.copy"), shape, None);
        graph.nodes[at].inputs[0] = copy;
        let op = Op::Convolution(Convolution { window: Window::new([1, 1]), groups: channels });
        graph.nodes.insert(at, Node { name: format!("{name}.ones"), op, inputs: vec![x, ones], output: copy });
    }
    graph
}

fn add(graph: &mut Graph, wish: &str, shape: Shape, constant: Option<Vec<f32>>) -> TensorId {
    let numbered = (1..).map(|i| format!("{wish}_{i}"));
    let name = std::iter::once(wish.to_owned()).chain(numbered).find(|name| graph.find(name).is_none()).unwrap_or_default();
    graph.tensors.push(Tensor { name, shape, constant });
    TensorId(graph.tensors.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GraphBuilder, QuantGraph, Settings};

    fn preactivated() -> Graph {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[4, 8, 8]);
        let y = b.batch_norm("first", x).unwrap();
        let y = b.relu("relu", y).unwrap();
        let y = b.convolution("conv", y, 4, [1, 1]).done().unwrap();
        let y = b.batch_norm("taken", y).unwrap();
        let z = b.add("add", y, x).unwrap();
        let z = b.batch_norm("last", z).unwrap();
        b.output(z);
        b.finish().unwrap()
    }

    #[test]
    fn each_batch_norm_that_stands_alone_gets_a_block() {
        let net = QuantGraph::prepare(preactivated(), Target::onnxruntime(), &Settings::default()).unwrap();
        let cores: Vec<&str> = net.units().iter().map(|u| net.graph().node(u.core).name.as_str()).collect();
        assert_eq!(cores, ["first.ones", "conv", "add", "last.ones"]);
        assert_eq!(net.units()[0].nodes().count(), 3);
        assert!(net.float_nodes().is_empty() && net.units().iter().all(|u| u.batch_norm.is_some() || u.block(net.graph()).is_none()));
    }

    #[test]
    fn a_second_run_finds_nothing() {
        let once = give_blocks(preactivated(), &Target::onnxruntime());
        assert_eq!(give_blocks(once.clone(), &Target::onnxruntime()), once);
    }

    #[test]
    fn vectors_stay_as_they_are() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[4]);
        let y = b.batch_norm("norm", x).unwrap();
        b.output(y);
        let graph = b.finish().unwrap();
        assert_eq!(give_blocks(graph.clone(), &Target::onnxruntime()), graph);
    }
}
