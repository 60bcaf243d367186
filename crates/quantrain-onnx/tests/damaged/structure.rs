//! Damage that is a well-formed message: extents, types, names, edges, attributes and operators that do not belong together.

use std::panic;

use prost::Message;
use quantrain_damage::Generator;

use super::grow;
use super::proto::*;

/// Attributes that some operator has.
const ATTRIBUTES: [&str; 30] = [
    "axis",
    "axes",
    "perm",
    "pads",
    "strides",
    "dilations",
    "kernel_shape",
    "group",
    "alpha",
    "beta",
    "epsilon",
    "mode",
    "auto_pad",
    "ceil_mode",
    "count_include_pad",
    "keepdims",
    "transA",
    "transB",
    "to",
    "value",
    "value_ints",
    "min",
    "max",
    "start",
    "end",
    "split",
    "num_outputs",
    "blocksize",
    "output_shape",
    "output_padding",
];

const WORDS: [&str; 10] =
    ["constant", "reflect", "edge", "linear", "nearest", "SAME_UPPER", "SAME_LOWER", "VALID", "align_corners", "tf_half_pixel_for_nn"];

/// Changes a network in one or two places, or lets nodes grow on it that make sense more often than not.
pub fn damage(file: &[u8], generator: &mut Generator) -> Vec<u8> {
    let mut model = ModelProto::decode(file).expect("the networks are whole");
    let grown = if generator.below(2) == 0 { 1 + generator.below(16) } else { 0 };
    for _ in 0..grown {
        let Some(graph) = &mut model.graph else { break };
        let before = (graph.node.len(), graph.output.len(), graph.initializer.len());
        grow::node(graph, generator);
        let bytes = model.encode_to_vec();
        // A node that is refused, or worse, mostly gives way to others, so that networks grow deep.
        let fits = panic::catch_unwind(|| quantrain_onnx::read_bytes("grown.onnx", &bytes).is_ok());
        match (fits, &mut model.graph) {
            (Ok(true), _) => {}
            (Ok(false), Some(graph)) if generator.below(20) > 0 => {
                graph.node.truncate(before.0);
                graph.output.truncate(before.1);
                graph.initializer.truncate(before.2);
            }
            _ => break,
        }
    }
    let edits = if grown > 0 { generator.below(4) / 3 } else { 1 + generator.below(2) };
    for _ in 0..edits {
        edit(&mut model, generator);
    }
    model.encode_to_vec()
}

fn edit(model: &mut ModelProto, generator: &mut Generator) {
    if generator.below(12) == 0 {
        if let Some(set) = model.opset_import.first_mut() {
            set.version = Some(generator.below(30) as i64);
        }
        return;
    }
    let Some(graph) = &mut model.graph else { return };
    match generator.below(7) {
        0 => edit_input(graph, generator),
        1 => edit_initializer(graph, generator),
        2 => insert_node(graph, generator),
        3 => edit_outputs(graph, generator),
        4 => {
            let (a, b) = (generator.below(graph.node.len()), generator.below(graph.node.len()));
            match generator.below(3) {
                _ if graph.node.is_empty() => {}
                0 => drop(graph.node.remove(a)),
                1 => graph.node.swap(a, b),
                _ => graph.node.insert(a, graph.node[b].clone()),
            }
        }
        _ => edit_node(graph, generator),
    }
}

/// A name that the graph has, seldom another.
fn name(graph: &GraphProto, generator: &mut Generator) -> String {
    let names = [graph.node.len(), graph.initializer.len(), graph.input.len()];
    let at = generator.below(names.iter().sum::<usize>() + 1);
    let node = |n: &NodeProto| n.output.first().cloned();
    let found = graph
        .node
        .iter()
        .map(node)
        .chain(graph.initializer.iter().map(|t| t.name.clone()))
        .chain(graph.input.iter().map(|i| i.name.clone()));
    found.flatten().nth(at).unwrap_or_default()
}

fn edit_input(graph: &mut GraphProto, generator: &mut Generator) {
    let Some(tensor) = graph.input.first_mut().and_then(|i| i.r#type.as_mut()?.tensor_type.as_mut()) else { return };
    match (generator.below(4), &mut tensor.shape) {
        (0, _) => tensor.elem_type = Some(generator.below(25) as i32),
        (1, Some(shape)) => drop(shape.dim.pop()),
        (2, Some(shape)) => shape.dim.push(DimensionProto { dim_value: Some(generator.integer()), dim_param: None }),
        (_, Some(shape)) if !shape.dim.is_empty() => {
            let at = generator.below(shape.dim.len());
            shape.dim[at].dim_value = Some(generator.integer());
        }
        _ => {}
    }
}

fn edit_initializer(graph: &mut GraphProto, generator: &mut Generator) {
    let (at, other) = (generator.below(graph.initializer.len()), generator.below(graph.initializer.len()));
    let stolen = graph.initializer.get(other).map(|t| (t.name.clone(), t.dims.clone()));
    let Some(tensor) = graph.initializer.get_mut(at) else { return };
    match generator.below(7) {
        0 if !tensor.dims.is_empty() => {
            let axis = generator.below(tensor.dims.len());
            tensor.dims[axis] = generator.integer();
        }
        1 => tensor.dims.push(generator.integer()),
        2 => tensor.data_type = Some(generator.below(25) as i32),
        3 => tensor.raw_data = tensor.raw_data.take().map(|raw| raw[..generator.below(raw.len())].to_vec()),
        4 => tensor.name = stolen.and_then(|s| s.0),
        5 => tensor.dims = stolen.map(|s| s.1).unwrap_or_default(),
        _ => tensor.dims.clear(),
    }
}

fn edit_outputs(graph: &mut GraphProto, generator: &mut Generator) {
    let name = name(graph, generator);
    match generator.below(3) {
        0 => graph.output.clear(),
        1 => graph.output.push(ValueInfoProto { name: Some(name), r#type: None }),
        _ => graph.output.iter_mut().for_each(|o| o.name = Some(name.clone())),
    }
}

fn edit_node(graph: &mut GraphProto, generator: &mut Generator) {
    let other = name(graph, generator);
    let at = generator.below(graph.node.len());
    let Some(node) = graph.node.get_mut(at) else { return };
    match generator.below(9) {
        0 => node.op_type = Some(generator.pick(quantrain_onnx::operators()).name.into()),
        1 => node.domain = Some("elsewhere".into()),
        2 if !node.input.is_empty() => {
            let at = generator.below(node.input.len());
            node.input[at] = other;
        }
        3 => node.input.push(other),
        4 => drop(node.input.pop()),
        5 => node.output = vec![other],
        6 => node.attribute.push(attribute(generator)),
        7 if !node.attribute.is_empty() => drop(node.attribute.pop()),
        _ if !node.attribute.is_empty() => {
            let at = generator.below(node.attribute.len());
            let attribute = &mut node.attribute[at];
            match generator.below(4) {
                0 => attribute.r#type = Some(generator.below(12) as i32),
                1 => attribute.i = Some(generator.integer()),
                2 => attribute.f = Some(generator.float()),
                _ if !attribute.ints.is_empty() => {
                    let at = generator.below(attribute.ints.len());
                    attribute.ints[at] = generator.integer();
                }
                _ => attribute.ints.push(generator.integer()),
            }
        }
        _ => {}
    }
}

/// An operator somewhere, on tensors and new constants, with attributes; whatever read its first input reads its output now.
fn insert_node(graph: &mut GraphProto, generator: &mut Generator) {
    let at = generator.below(graph.node.len() + 1);
    let before: Vec<String> = graph.node[..at].iter().rev().take(8).filter_map(|n| n.output.first().cloned()).collect();
    let first = if before.is_empty() { name(graph, generator) } else { generator.pick(&before).clone() };
    let output = format!("inserted{}", graph.node.len());
    let mut input = vec![first.clone()];
    for i in 0..generator.below(5) {
        input.push(match generator.below(4) {
            0 => name(graph, generator),
            1 => String::new(),
            kind => {
                let name = format!("{output}_{i}");
                let count = generator.below(9);
                let floats: Vec<u8> = (0..count).flat_map(|_| generator.float().to_le_bytes()).collect();
                let integers: Vec<u8> = (0..count).flat_map(|_| generator.integer().to_le_bytes()).collect();
                let (data_type, raw) = if kind == 2 { (data_type::INT64, integers) } else { (data_type::FLOAT, floats) };
                let dims = if count == 1 && generator.below(2) == 0 { vec![] } else { vec![count as i64] };
                let tensor = TensorProto {
                    name: Some(name.clone()),
                    dims,
                    data_type: Some(data_type),
                    raw_data: Some(raw),
                    ..TensorProto::default()
                };
                graph.initializer.push(tensor);
                name
            }
        });
    }
    // Shape arithmetic has constants only.
    if generator.below(3) == 0 && input.len() > 1 {
        input.remove(0);
    }
    for node in &mut graph.node[at..] {
        node.input.iter_mut().filter(|i| **i == first).for_each(|i| *i = output.clone());
    }
    let op_type = Some(generator.pick(quantrain_onnx::operators()).name.into());
    let attribute = (0..generator.below(4)).map(|_| attribute(generator)).collect();
    graph.node.insert(at, NodeProto { input, output: vec![output], op_type, attribute, ..NodeProto::default() });
}

fn attribute(generator: &mut Generator) -> AttributeProto {
    let name = Some((*generator.pick(&ATTRIBUTES)).to_owned());
    let ints = |generator: &mut Generator| (0..generator.below(9)).map(|_| generator.integer()).collect();
    let empty = AttributeProto { name, ..AttributeProto::default() };
    match generator.below(5) {
        0 => AttributeProto { i: Some(generator.integer()), r#type: Some(attribute_type::INT), ..empty },
        1 => AttributeProto { f: Some(generator.float()), r#type: Some(attribute_type::FLOAT), ..empty },
        2 => AttributeProto { s: Some((*generator.pick(&WORDS)).into()), r#type: Some(attribute_type::STRING), ..empty },
        3 => {
            let dims = vec![generator.integer()];
            let raw_data = Some(vec![0; generator.below(64)]);
            let tensor = TensorProto { dims, data_type: Some(generator.below(25) as i32), raw_data, ..TensorProto::default() };
            AttributeProto { t: Some(tensor), r#type: Some(attribute_type::TENSOR), ..empty }
        }
        _ => AttributeProto { ints: ints(generator), r#type: Some(attribute_type::INTS), ..empty },
    }
}
