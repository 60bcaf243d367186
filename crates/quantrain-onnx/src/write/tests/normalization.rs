//! Normalisations: one node where the operator set has it, else a chain, which is recognised again.

use quantrain_graph::op::{Epsilon, GroupNormalization, LayerNormalization, RmsNormalization};

use super::*;

/// `op` over `[N, 4, 3, 2]`, its parameters along the axes given.
fn normalised(op: Op, own: &[usize], opset: i64) -> Graph {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[4, 3, 2]);
    let count: usize = own.iter().product();
    let mut inputs = vec![x, b.constant("scale", own, (0..count).map(|i| 0.5 + i as f32).collect()).unwrap()];
    if op.input_count().1 > 2 {
        inputs.push(b.constant("offset", own, (0..count).map(|i| 0.25 * i as f32).collect()).unwrap());
    }
    let y = b.node("norm", op, &inputs, "y").unwrap();
    b.output(y);
    b.describe(opset, Vec::new());
    b.finish().unwrap()
}

fn written(graph: &Graph) -> (Vec<String>, Graph) {
    let bytes = float_bytes(graph).unwrap();
    let model = ModelProto::decode(&bytes[..]).unwrap();
    let names = operators(graph_of(&model)).into_iter().map(str::to_owned).collect();
    (names, read_bytes("written", &bytes).unwrap())
}

const INSIDE: Epsilon = Epsilon::OfVariance(1e-3);

fn forms() -> Vec<(Op, &'static [usize], i64, Vec<&'static str>)> {
    let layer = |epsilon| Op::LayerNormalization(LayerNormalization { axis: -1, epsilon });
    let rms = Op::RmsNormalization(RmsNormalization { axis: -1, epsilon: INSIDE });
    let groups = Op::GroupNormalization(GroupNormalization { groups: 2, epsilon: 1e-3 });
    let centred = ["ReduceMean", "Sub", "Mul", "ReduceMean"];
    vec![
        (layer(INSIDE), &[2], 17, vec!["LayerNormalization"]),
        (layer(INSIDE), &[2], 13, [&centred[..], &["Add", "Sqrt", "Div", "Mul", "Add"]].concat()),
        (layer(Epsilon::OfDeviation(1e-3)), &[2], 20, [&centred[..], &["Sqrt", "Add", "Div", "Mul", "Add"]].concat()),
        (layer(Epsilon::Least(1e-3)), &[2], 20, [&centred[..], &["Max", "Sqrt", "Div", "Mul", "Add"]].concat()),
        (rms.clone(), &[2], 23, vec!["RMSNormalization"]),
        (rms, &[2], 22, vec!["Mul", "ReduceMean", "Add", "Sqrt", "Div", "Mul"]),
        (groups.clone(), &[4], 21, vec!["GroupNormalization"]),
        (groups, &[4], 18, vec!["Reshape", "InstanceNormalization", "Reshape", "Reshape", "Reshape", "Mul", "Add"]),
    ]
}

#[test]
fn a_normalisation_is_one_node_where_the_operator_set_has_it() {
    for (op, own, opset, expected) in forms() {
        let (names, _) = written(&normalised(op, own, opset));
        assert_eq!(names, expected, "operator set {opset}");
    }
}

#[test]
fn a_chain_that_was_written_is_recognised_again() {
    for (op, own, opset, _) in forms() {
        let graph = normalised(op.clone(), own, opset);
        let again = QuantGraph::float(written(&graph).1);
        let [node] = again.graph().nodes() else { panic!("{:?}", again.graph().nodes()) };
        assert_eq!((&node.op, node.name.as_str()), (&op, "norm"));
        let parameters = |graph: &Graph, node: &quantrain_graph::Node| -> Vec<Vec<f32>> {
            node.inputs[1..].iter().filter_map(|&t| graph.constant(t)).map(<[f32]>::to_vec).collect()
        };
        assert_eq!(parameters(again.graph(), node), parameters(&graph, &graph.nodes()[0]));
    }
}

#[test]
fn files_of_later_operator_sets_are_written_in_the_last_that_runtimes_know() {
    let op = Op::RmsNormalization(RmsNormalization { axis: -1, epsilon: INSIDE });
    let bytes = float_bytes(&normalised(op, &[2], 25)).unwrap();
    let model = ModelProto::decode(&bytes[..]).unwrap();
    assert_eq!(model.opset_import[0].version, Some(23));
}
