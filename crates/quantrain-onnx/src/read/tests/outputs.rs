//! Outputs that nothing computes, and types at the border of a file.

use quantrain_graph::op::Activation;
use quantrain_graph::{ElementType, Op, Passed};

use super::operators::image;
use crate::fixture::{ModelFixture, int, tensor, tensor_attribute};
use crate::proto::data_type;
use crate::read_bytes;

/// The output of a name has a type.
fn typed(mut model: ModelFixture, name: &str, kind: i32) -> ModelFixture {
    let mut info = crate::fixture::value_info(name, &[]);
    info.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = Some(kind);
    model.graph().output.push(info);
    model
}

#[test]
fn constants_are_handed_out_as_they_are() {
    let large = (1i64 << 53) + 1;
    let model = image(13).ints("ids", &[large, -1]).node("Relu", &["x"], "y", vec![]).node("Identity", &["ids"], "same", vec![]);
    let double = tensor("", &[1], data_type::DOUBLE, 0.1f64.to_le_bytes().to_vec());
    let model = model.node("Constant", &[], "tenth", vec![tensor_attribute("value", double)]);
    let model = model.floats("k", &[2], &[1.5, -2.0]).node("Neg", &["k"], "folded", vec![]);
    let model = ["same", "y", "tenth"].into_iter().fold(model, ModelFixture::output);
    let graph = read_bytes("f", &typed(model, "folded", data_type::FLOAT16).bytes()).unwrap();
    let found: Vec<(&str, usize, ElementType)> = graph.passed.iter().map(|o| (o.name.as_str(), o.position, o.kind)).collect();
    assert_eq!(found, [("same", 0, ElementType::Int64), ("tenth", 2, ElementType::Double), ("folded", 3, ElementType::Float16)]);
    let bytes = |i: usize| match &graph.passed[i].value {
        Passed::Constant { bytes, .. } => bytes.clone(),
        Passed::Input(_) => panic!("a constant was written"),
    };
    assert_eq!(bytes(0), [large.to_le_bytes(), (-1i64).to_le_bytes()].concat());
    assert_eq!(bytes(1), 0.1f64.to_le_bytes());
    assert_eq!(bytes(2), [0x00, 0xbe, 0x00, 0x40], "-1.5 and 2 in half precision");
    assert_eq!(graph.outputs().len(), 1);
}

#[test]
fn a_fixed_shape_is_a_constant() {
    let model = ModelFixture::new(13, &[2, 3, 8, 8]).node("Shape", &["x"], "s", vec![]).node("Relu", &["x"], "y", vec![]).output("s");
    let graph = model.read().unwrap();
    let expected: Vec<u8> = [2i64, 3, 8, 8].iter().flat_map(|n| n.to_le_bytes()).collect();
    assert_eq!(graph.passed[0].value, Passed::Constant { shape: vec![4], bytes: expected });
}

#[test]
fn inputs_are_handed_out_as_they_come() {
    let model = image(13).node("Relu", &["x"], "y", vec![]).node("Identity", &["x"], "i", vec![]).node("Identity", &["i"], "same", vec![]);
    let graph = model.output("x").output("same").read().unwrap();
    let input = graph.inputs()[0];
    assert_eq!(
        graph.passed.iter().map(|o| (o.name.as_str(), o.value.clone())).collect::<Vec<_>>(),
        [("x", Passed::Input(input)), ("same", Passed::Input(input))]
    );
    assert_eq!(graph.nodes().len(), 1, "nothing else reads the Identity");
    // All that a network does may be that.
    let graph = image(13).node("Identity", &["x"], "y", vec![]).read().unwrap();
    assert_eq!((graph.nodes()[0].op.clone(), graph.passed.len()), (Op::Identity, 0));
}

#[test]
fn behind_an_input_of_other_floats_a_cast_says_nothing() {
    for kind in [data_type::FLOAT16, data_type::DOUBLE] {
        let mut model = image(13).node("Cast", &["x"], "f", vec![int("to", 1)]).node("Relu", &["f"], "y", vec![]);
        model.graph().input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = Some(kind);
        let graph = model.read().unwrap();
        assert_eq!(graph.nodes().iter().map(|n| &n.op).collect::<Vec<_>>(), [&Op::Activation(Activation::Relu)]);
        let expected = if kind == data_type::DOUBLE { ElementType::Double } else { ElementType::Float16 };
        assert_eq!(graph.element_types.get(&graph.inputs()[0]), Some(&expected));
    }
}
