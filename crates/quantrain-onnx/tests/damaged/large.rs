//! Networks that are large: in nodes, whose quantizers are all joined, or in extents.

use prost::Message;

use super::proto::*;

/// `steps` times Concat, Slice and Add of two values.
pub fn network(steps: usize) -> Vec<u8> {
    let axis = axis(1);
    let mut nodes = Vec::with_capacity(3 * steps);
    let mut x = "x".to_owned();
    for i in 0..steps {
        let [joined, cut, sum] = ["joined", "cut", "sum"].map(|name| format!("{name}{i}"));
        nodes.push(node("Concat", &[&x, &x], joined.clone(), vec![axis.clone()]));
        nodes.push(node("Slice", &[&joined, "one", "three", "one"], cut.clone(), vec![]));
        nodes.push(node("Add", &[&cut, &x], sum.clone(), vec![]));
        x = sum;
    }
    model(nodes, vec![integers("one", &[1]), integers("three", &[3])], x)
}

/// Two values with `extent` zeros around them, backwards.
pub fn padded(extent: i64) -> Vec<u8> {
    let nodes = vec![
        node("Pad", &["x", "pads"], "padded".into(), vec![]),
        node("Slice", &["padded", "last", "first", "one", "back"], "y".into(), vec![]),
    ];
    let initializers = [("pads", &[0, extent, 0, extent / 2][..]), ("last", &[-1]), ("first", &[i64::MIN]), ("one", &[1]), ("back", &[-1])];
    model(nodes, initializers.iter().map(|(name, values)| integers(name, values)).collect(), "y".into())
}

/// Three Resizes of a column to 2^24 rows each: no tensor of them is too large, their tables are.
pub fn resized() -> Vec<u8> {
    let mode = [("mode", "linear"), ("coordinate_transformation_mode", "half_pixel")].map(|(name, word)| AttributeProto {
        name: Some(name.into()),
        s: Some(word.into()),
        r#type: Some(3),
        ..AttributeProto::default()
    });
    let names = ["tall", "taller", "tallest"];
    let mut nodes = vec![node("Reshape", &["x", "column"], "image".into(), vec![])];
    nodes.extend(names.map(|to| node("Resize", &["image", "", "", "rows"], to.into(), mode.to_vec())));
    nodes.push(node("Concat", &names, "y".into(), vec![axis(1)]));
    model(nodes, vec![integers("column", &[1, 1, 2, 1]), integers("rows", &[1, 1, (1 << 24) - 1, 1])], "y".into())
}

/// A product of many small matrices.
pub fn multiplied() -> Vec<u8> {
    let nodes = vec![
        node("Reshape", &["x", "left"], "a".into(), vec![]),
        node("Tile", &["a", "times"], "many".into(), vec![]),
        node("Reshape", &["x", "right"], "b".into(), vec![]),
        node("MatMul", &["many", "b"], "product".into(), vec![]),
    ];
    let constants = vec![integers("left", &[1, 1, 1, 2]), integers("right", &[1, 1, 2, 1]), integers("times", &[1, 20_000_000, 1, 1])];
    model(nodes, constants, "product".into())
}

/// Two values, `times` times along each of four axes.
pub fn tiled_thrice(times: i64) -> Vec<u8> {
    let nodes = vec![node("Reshape", &["x", "image"], "a".into(), vec![]), node("Tile", &["a", "times"], "y".into(), vec![])];
    model(nodes, vec![integers("image", &[1, 1, 1, 2]), integers("times", &[1, times, times, times])], "y".into())
}

fn axis(axis: i64) -> AttributeProto {
    AttributeProto { name: Some("axis".into()), i: Some(axis), r#type: Some(attribute_type::INT), ..AttributeProto::default() }
}

fn node(op: &str, input: &[&str], output: String, attribute: Vec<AttributeProto>) -> NodeProto {
    let input = input.iter().map(|&i| i.to_owned()).collect();
    NodeProto { input, output: vec![output], op_type: Some(op.into()), attribute, ..NodeProto::default() }
}

fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: vec![values.len() as i64],
        data_type: Some(data_type::INT64),
        raw_data: Some(values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        ..TensorProto::default()
    }
}

/// A model of an input `x` of two values.
fn model(node: Vec<NodeProto>, initializer: Vec<TensorProto>, output: String) -> Vec<u8> {
    let value = |name: String| {
        let dim = [DimensionProto { dim_value: Some(1), dim_param: None }, DimensionProto { dim_value: Some(2), dim_param: None }];
        let tensor_type = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(TensorShapeProto { dim: dim.into() }) };
        ValueInfoProto { name: Some(name), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
    };
    let (input, output) = (vec![value("x".into())], vec![value(output)]);
    let graph = GraphProto { node, initializer, input, output, ..GraphProto::default() };
    let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(13) }];
    ModelProto { ir_version: Some(8), graph: Some(graph), opset_import, ..ModelProto::default() }.encode_to_vec()
}
