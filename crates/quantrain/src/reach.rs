//! How far the values of a quantizer need to reach, where those who read it tell no others apart.
//!
//! Of a window a MaxPool takes the greatest: what is below all that it gave may as well be what it gave least. The same goes for what a Clip
//! or a Max with a constant cuts. A range that leaves such values out has a finer step, and nothing is lost.

use quantrain_graph::op::{Activation, Binary};
use quantrain_graph::{Graph, Op, QuantGraph, Range, TensorId};

const EVERYTHING: Range = Range { min: f32::NEG_INFINITY, max: f32::INFINITY };

/// Of each activation quantizer, the range that readers tell apart, given what each tensor's extent was.
pub(crate) fn reach(net: &QuantGraph, extents: &[Option<Range>]) -> Vec<Range> {
    let graph = net.graph();
    let mut found: Vec<Option<Range>> = vec![None; net.quantizers().len()];
    let outputs = graph.nodes().iter().map(|node| (node.output, &node.inputs[..]));
    for (tensor, inputs) in graph.inputs().iter().map(|&input| (input, &[][..])).chain(outputs) {
        let Some(quantizer) = net.quantizer_of(tensor) else { continue };
        // What carries a quantizer has no values of its own.
        if inputs.iter().any(|&input| net.quantizer_of(input) == Some(quantizer)) && !is_joined(graph, tensor) {
            continue;
        }
        let of_tensor = of_tensor(net, extents, tensor);
        let union = found[quantizer.0].map_or(of_tensor, |range| range.union(of_tensor));
        found[quantizer.0] = Some(union);
    }
    found.into_iter().map(|range| range.unwrap_or(EVERYTHING)).collect()
}

/// Whether a tensor has values of several quantized ones.
fn is_joined(graph: &Graph, tensor: TensorId) -> bool {
    graph.producer(tensor).is_some_and(|node| matches!(graph.nodes()[node.0].op, Op::Concat(_)))
}

/// What the readers of a tensor tell apart together.
fn of_tensor(net: &QuantGraph, extents: &[Option<Range>], tensor: TensorId) -> Range {
    let graph = net.graph();
    if graph.outputs().contains(&tensor) {
        return EVERYTHING;
    }
    let readers = graph.readers(tensor).map(|node| of_reader(net, extents, tensor, node.0));
    readers.reduce(Range::union).unwrap_or(EVERYTHING)
}

/// What one reader tells apart.
fn of_reader(net: &QuantGraph, extents: &[Option<Range>], tensor: TensorId, node: usize) -> Range {
    let graph = net.graph();
    let node = &graph.nodes()[node];
    let given = extents[node.output.0].unwrap_or(EVERYTHING);
    let with_constant = || node.inputs.iter().all(|&input| input == tensor || graph.constant(input).is_some());
    match node.op {
        Op::MaxPool(_) => Range { min: given.min, ..EVERYTHING },
        Op::Activation(Activation::Clip { .. }) => given,
        Op::Binary(Binary::Max) if with_constant() => Range { min: given.min, ..EVERYTHING },
        Op::Binary(Binary::Min) if with_constant() => Range { max: given.max, ..EVERYTHING },
        Op::Activation(Activation::LeakyRelu { alpha }) if alpha > 0.0 => {
            let Range { min, max } = of_tensor(net, extents, node.output);
            let inverse = |y: f32| if y < 0.0 { y / alpha } else { y };
            Range { min: inverse(min), max: inverse(max) }
        }
        Op::Reshape(_) | Op::Transpose(_) | Op::Identity => of_tensor(net, extents, node.output),
        _ => EVERYTHING,
    }
}

#[cfg(test)]
mod tests {
    use quantrain_graph::op::{MaxPool, Window};
    use quantrain_graph::{GraphBuilder, Settings, Target};

    use super::*;

    fn convolution(b: &mut GraphBuilder, name: &str, x: TensorId) -> TensorId {
        b.convolution(name, x, 2, [1, 1]).weights(vec![0.5; 4]).done().unwrap()
    }

    fn prepared(mut b: GraphBuilder, y: TensorId) -> QuantGraph {
        b.output(y);
        QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &Settings::default()).unwrap()
    }

    /// The reach of the quantizer of each tensor, where that has an end.
    fn found(net: &QuantGraph, extents: &[(&str, f32, f32)]) -> Vec<(String, f32, f32)> {
        let mut of_tensor = vec![None; net.graph().tensors().len()];
        for (name, min, max) in extents {
            of_tensor[net.graph().find(name).unwrap().0] = Some(Range::new(*min, *max));
        }
        let reach = net.quantizers().iter().zip(reach(net, &of_tensor)).map(|(q, range)| (q.tensor.clone(), range.min, range.max));
        reach.filter(|(_, min, max)| min.is_finite() || max.is_finite()).collect()
    }

    #[test]
    fn below_what_a_pool_gives_nothing_is_told_apart_unless_something_else_reads_it() {
        for read_elsewhere in [false, true] {
            let mut b = GraphBuilder::new("g");
            let x = b.input("x", &[2, 4, 4]);
            let a = convolution(&mut b, "a", x);
            let pooled = b.node("pool", Op::MaxPool(MaxPool { window: Window::new([2, 2]) }), &[a], "pool").unwrap();
            let y = convolution(&mut b, "y", pooled);
            if read_elsewhere {
                let z = convolution(&mut b, "z", a);
                b.output(z);
            }
            let net = prepared(b, y);
            let expected = if read_elsewhere { vec![] } else { vec![("a".to_owned(), -1.0, f32::INFINITY)] };
            assert_eq!(found(&net, &[("a", -9.0, 5.0), ("pool", -1.0, 5.0)]), expected);
        }
    }

    #[test]
    fn what_a_maximum_cuts_is_cut_before_the_slope_too() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2, 4, 4]);
        let a = convolution(&mut b, "a", x);
        let sloped = b.node("slope", Op::Activation(Activation::LeakyRelu { alpha: 0.25 }), &[a], "slope").unwrap();
        let limit = b.constant("limit", &[1], vec![-0.5]).unwrap();
        let cut = b.node("cut", Op::Binary(Binary::Max), &[sloped, limit], "cut").unwrap();
        let y = convolution(&mut b, "y", cut);
        let net = prepared(b, y);
        let extents = [("a", -9.0, 5.0), ("slope", -2.25, 5.0), ("cut", -0.5, 5.0)];
        assert_eq!(found(&net, &extents), [("a".to_owned(), -2.0, f32::INFINITY), ("slope".to_owned(), -0.5, f32::INFINITY)]);
    }
}
