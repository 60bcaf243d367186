//! What becomes of a file before its operators are read: nodes that nothing needs, names, branches, functions.

use quantrain_graph::{Graph, Note, Op};

use crate::fixture::{ModelFixture, graph_attribute, int, reference, tensor, text, value_info};
use crate::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, ValueInfoProto, data_type};
use crate::{NodeError, ReadError};

fn image() -> ModelFixture {
    ModelFixture::new(17, &[0, 3, 8, 8])
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let input = inputs.iter().map(|&i| i.into()).collect();
    NodeProto { input, output: vec![output.into()], op_type: Some(op.into()), attribute, ..NodeProto::default() }
}

fn branch(nodes: Vec<NodeProto>, output: &str) -> GraphProto {
    let output = vec![ValueInfoProto { name: Some(output.into()), ..ValueInfoProto::default() }];
    GraphProto { node: nodes, output, ..GraphProto::default() }
}

/// Operators and outputs of a graph's nodes.
fn nodes(graph: &Graph) -> Vec<(&str, &str)> {
    graph.nodes().iter().map(|n| (n.op.name(), graph.tensor(n.output).name.as_str())).collect()
}

#[test]
fn what_no_output_depends_on_is_not_looked_at() {
    let mut model = image().node("NonZero", &["x"], "unused", vec![]).node("Relu", &["x"], "y", vec![]);
    model = model.node("Gizmo", &["unused", "broken", "mask"], "more", vec![]);
    model.graph().initializer.push(tensor("broken", &[-7], data_type::FLOAT, vec![1]));
    let mut mask = value_info("mask", &[0, 4]);
    mask.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = Some(data_type::BOOL);
    model.graph().input.push(mask);
    let graph = model.read().unwrap();
    assert_eq!(nodes(&graph), [("Relu", "y")]);
    assert_eq!(graph.inputs().len(), 1);
    let left = |node: &str, operator: &str| Note::NodeLeftOut { node: node.into(), operator: operator.into() };
    assert_eq!(graph.notes, [left("unused", "NonZero"), left("more", "Gizmo"), Note::InputLeftOut { input: "mask".into() }]);
}

#[test]
fn nodes_of_one_name_get_names_of_their_own() {
    let named = |name: &str, input: &str, output: &str| NodeProto { name: Some(name.into()), ..node("Relu", &[input], output, vec![]) };
    let mut model = image();
    model.graph().node =
        vec![named("n", "x", "a"), named("", "a", "b"), named("n", "b", "c"), named("b", "c", "d"), named("n_1", "d", "y")];
    let graph = model.read().unwrap();
    let names: Vec<&str> = graph.nodes().iter().map(|n| n.name.as_str()).collect();
    // A name that the file gives goes before the one that an unnamed node has from its output.
    assert_eq!(names, ["n", "b_1", "n_2", "b", "n_1"]);
    assert_eq!(graph.notes, [Note::NodeRenamed { node: "n".into(), output: "c".into(), renamed: "n_2".into() }]);
}

/// An If whose graphs both define `t`, and read what is around them.
fn with_if(condition: bool) -> ModelFixture {
    let mut then = branch(vec![node("Relu", &["a"], "t", vec![]), node("Neg", &["t"], "then", vec![])], "then");
    then.initializer.push(tensor("k", &[1], data_type::FLOAT, 2f32.to_le_bytes().to_vec()));
    then.node.push(node("Mul", &["then", "k"], "unused", vec![]));
    let mut other = branch(vec![node("Mul", &["a", "k"], "t", vec![]), node("Abs", &["t"], "else", vec![])], "else");
    other.initializer.push(tensor("k", &[1], data_type::FLOAT, 3f32.to_le_bytes().to_vec()));
    image()
        .node("Exp", &["x"], "a", vec![])
        .raw("condition", &[], data_type::BOOL, vec![condition.into()])
        .node("If", &["condition"], "p", vec![graph_attribute("then_branch", then), graph_attribute("else_branch", other)])
        .node("Sqrt", &["p"], "t", vec![])
        .node("Relu", &["t"], "y", vec![])
}

#[test]
fn the_graph_that_is_taken_stands_for_an_if() {
    let graph = with_if(true).read().unwrap();
    assert_eq!(nodes(&graph), [("Exp", "a"), ("Relu", "t_1"), ("Neg", "p"), ("Sqrt", "t"), ("Relu", "y")]);
    let graph = with_if(false).read().unwrap();
    assert_eq!(nodes(&graph), [("Exp", "a"), ("Mul", "t_2"), ("Abs", "p"), ("Sqrt", "t"), ("Relu", "y")]);
    let factor = graph.nodes()[1].inputs[1];
    assert_eq!(graph.constant(factor), Some(&[3.0][..]));
}

#[test]
fn a_graph_may_hand_out_what_is_around_it() {
    let branches =
        |inner: &str| vec![graph_attribute("then_branch", branch(vec![], inner)), graph_attribute("else_branch", branch(vec![], "x"))];
    let shape = || image().node("Relu", &["x"], "a", vec![]).node("Shape", &["a"], "s", vec![]).ints("two", &[2]).ints("eight", &[8]);
    let known = shape().node("Gather", &["s", "two"], "h", vec![]).node("Equal", &["h", "eight"], "same", vec![]);
    let graph = known.node("If", &["same"], "p", branches("a")).node("Neg", &["p"], "y", vec![]).read().unwrap();
    assert_eq!(nodes(&graph), [("Relu", "a"), ("Neg", "y")]);
    // A condition that the input decides is refused.
    let unknown = shape().node("Equal", &["a", "x"], "same", vec![]).node("If", &["same"], "y", branches("a")).read();
    let refused = |e: &ReadError| matches!(e, ReadError::Node { source, .. } if matches!(**source, NodeError::BranchOnInput { .. }));
    assert!(unknown.as_ref().is_err_and(refused), "{unknown:?}");
}

/// A model whose function `slope` calls the function `scaled`, both with an attribute of its caller.
fn with_functions() -> ModelFixture {
    let function = |name: &str, input: &[&str], nodes: Vec<NodeProto>| FunctionProto {
        name: Some(name.into()),
        domain: Some("own".into()),
        input: input.iter().map(|&i| i.into()).collect(),
        output: vec!["r".into()],
        node: nodes,
        ..FunctionProto::default()
    };
    let call = |name: &str, inputs: &[&str], output: &str, attribute| NodeProto {
        domain: Some("own".into()),
        name: Some(output.into()),
        ..node(name, inputs, output, attribute)
    };
    let slope = vec![
        node("LeakyRelu", &["x"], "a", vec![reference("alpha", "slope")]),
        call("scaled", &["a", ""], "r", vec![reference("mode", "mode")]),
    ];
    let scaled = vec![
        node("Clip", &["x", "low"], "a", vec![]),
        node("DepthToSpace", &["a"], "r", vec![int("blocksize", 1), reference("mode", "mode")]),
    ];
    let mut model = image();
    let default = AttributeProto { name: Some("slope".into()), ..crate::fixture::float("slope", 0.5) };
    model.model.functions = vec![
        FunctionProto { attribute_proto: vec![default], ..function("slope", &["x"], slope) },
        function("scaled", &["x", "low"], scaled),
    ];
    model.graph().node =
        vec![call("slope", &["x"], "a", vec![text("mode", "CRD")]), call("slope", &["a"], "y", vec![crate::fixture::float("slope", 0.25)])];
    model
}

#[test]
fn functions_of_the_model_are_put_in_the_place_of_their_calls() {
    let graph = with_functions().read().unwrap();
    let operators = ["LeakyRelu", "Clip", "DepthToSpace", "LeakyRelu", "Clip", "DepthToSpace"];
    assert_eq!(graph.nodes().iter().map(|n| n.op.name()).collect::<Vec<_>>(), operators);
    let ops: Vec<String> = graph.nodes().iter().map(|n| format!("{:?}", n.op)).collect();
    assert!(ops[0].contains("0.5") && ops[3].contains("0.25"), "{ops:?}");
    assert!(ops[2].contains("ChannelFirst") && ops[5].contains("BlockFirst"), "{ops:?}");
    let tensors: Vec<&str> = graph.nodes().iter().map(|n| graph.tensor(n.output).name.as_str()).collect();
    assert_eq!(tensors, ["a/a", "a/r/a", "a", "y/a", "y/r/a", "y"]);
    assert!(matches!(graph.nodes()[4].op, Op::Activation(_)));
}

#[test]
fn functions_without_end_are_refused() {
    let mut model = with_functions();
    model.model.functions[1].node[0] = NodeProto { domain: Some("own".into()), ..node("slope", &["x"], "a", vec![]) };
    assert!(matches!(model.read(), Err(ReadError::Functions { .. })));
    // Each function calls the one before it twice.
    let mut model = image();
    for i in 0..40 {
        let inner = format!("f{}", i - 1);
        let call =
            |output: &str| NodeProto { domain: Some("own".into()), ..node(if i == 0 { "Relu" } else { &inner }, &["x"], output, vec![]) };
        let mut calls = vec![call("a"), call("r")];
        calls.iter_mut().filter(|_| i == 0).for_each(|n| n.domain = None);
        let (input, output) = (vec!["x".into()], vec!["r".into()]);
        model.model.functions.push(FunctionProto {
            name: Some(format!("f{i}")),
            domain: Some("own".into()),
            input,
            output,
            node: calls,
            ..FunctionProto::default()
        });
    }
    model.graph().node = vec![NodeProto { domain: Some("own".into()), ..node("f39", &["x"], "y", vec![]) }];
    assert!(matches!(model.read(), Err(ReadError::Functions { .. })));
}
