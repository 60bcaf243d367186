//! A network of many nodes whose quantizers are all joined.

use prost::Message;

use super::proto::*;

/// `steps` times Concat, Slice and Add of two values.
pub fn network(steps: usize) -> Vec<u8> {
    let integers = |name: &str, value: i64| TensorProto {
        name: Some(name.into()),
        dims: vec![1],
        data_type: Some(data_type::INT64),
        raw_data: Some(value.to_le_bytes().into()),
        ..TensorProto::default()
    };
    let axis = AttributeProto { name: Some("axis".into()), i: Some(1), r#type: Some(attribute_type::INT), ..AttributeProto::default() };
    let node = |op: &str, input: &[&str], output: String, attribute: Vec<AttributeProto>| NodeProto {
        input: input.iter().map(|&i| i.to_owned()).collect(),
        output: vec![output],
        op_type: Some(op.into()),
        attribute,
        ..NodeProto::default()
    };
    let mut nodes = Vec::with_capacity(3 * steps);
    let mut x = "x".to_owned();
    for i in 0..steps {
        let [joined, cut, sum] = ["joined", "cut", "sum"].map(|name| format!("{name}{i}"));
        nodes.push(node("Concat", &[&x, &x], joined.clone(), vec![axis.clone()]));
        nodes.push(node("Slice", &[&joined, "one", "three", "one"], cut.clone(), vec![]));
        nodes.push(node("Add", &[&cut, &x], sum.clone(), vec![]));
        x = sum;
    }
    let value = |name: String| {
        let dim = [DimensionProto { dim_value: Some(1), dim_param: None }, DimensionProto { dim_value: Some(2), dim_param: None }];
        let tensor_type = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(TensorShapeProto { dim: dim.into() }) };
        ValueInfoProto { name: Some(name), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
    };
    let graph = GraphProto {
        node: nodes,
        initializer: vec![integers("one", 1), integers("three", 3)],
        input: vec![value("x".into())],
        output: vec![value(x)],
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(13) }];
    ModelProto { ir_version: Some(8), graph: Some(graph), opset_import, ..ModelProto::default() }.encode_to_vec()
}
