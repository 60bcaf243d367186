//! The border of a file: inputs and outputs of the types that they have in the file that was read, though all is computed in 32-bit floats
//! between, and outputs that nothing computes.

use std::collections::HashMap;

use quantrain_graph::{ElementType, Graph, Passed, PassedOutput, Shape, TensorId};

use super::model::{ModelWriter, int, value_info};
use crate::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto, data_type};

/// ONNX's number of a type.
pub(super) fn number(kind: ElementType) -> i32 {
    match kind {
        ElementType::Float => data_type::FLOAT,
        ElementType::Double => data_type::DOUBLE,
        ElementType::Float16 => data_type::FLOAT16,
        ElementType::BFloat16 => data_type::BFLOAT16,
        ElementType::Int8 => data_type::INT8,
        ElementType::Uint8 => data_type::UINT8,
        ElementType::Int16 => data_type::INT16,
        ElementType::Uint16 => data_type::UINT16,
        ElementType::Int32 => data_type::INT32,
        ElementType::Uint32 => data_type::UINT32,
        ElementType::Int64 => data_type::INT64,
        ElementType::Uint64 => data_type::UINT64,
        ElementType::Bool => data_type::BOOL,
    }
}

/// Gives the model its inputs and outputs: a Cast behind each input and before each output that has a type of its own, and what is passed.
pub(super) fn complete(w: &mut ModelWriter, graph: &Graph) {
    outputs(w, graph);
    inputs(w, graph);
    w.proto.input = graph.inputs().iter().map(|&id| info(graph, id)).collect();
    w.proto.output = graph.outputs().iter().map(|&id| info(graph, id)).collect();
    for output in &graph.passed {
        let at = output.position.min(w.proto.output.len());
        let info = pass(w, graph, output);
        w.proto.output.insert(at, info);
    }
}

/// Puts a Cast before each output that has a type of its own, or hands out what had the type already.
fn outputs(w: &mut ModelWriter, graph: &Graph) {
    for (&id, &kind) in graph.element_types.iter().filter(|(id, _)| graph.outputs().contains(id) && !graph.inputs().contains(id)) {
        let name = &graph.tensor(id).name;
        let float = w.fresh(&format!("{name}_float"));
        let kind = number(kind);
        rename(&mut w.proto, name, &float);
        let (source, made) = source(&w.proto, &float).unwrap_or_else(|| (float.clone(), data_type::FLOAT));
        if made == kind {
            let node = w.fresh(&format!("{name}_Identity"));
            w.node("Identity", &node, vec![source], name, vec![]);
        } else {
            let node = w.fresh(&format!("{name}_to_type"));
            w.node("Cast", &node, vec![source], name, vec![int("to", kind.into())]);
        }
        let is_read = w.proto.node.iter().any(|node| node.input.contains(&float));
        w.proto.node.retain(|node| is_read || node.output.first() != Some(&float));
    }
}

/// Puts a Cast behind each input that has a type of its own.
fn inputs(w: &mut ModelWriter, graph: &Graph) {
    for &id in graph.inputs().iter().filter(|id| graph.element_types.contains_key(id)) {
        let name = &graph.tensor(id).name;
        let float = w.fresh(&format!("{name}_float"));
        rename(&mut w.proto, name, &float);
        if graph.element_types.get(&id).is_some_and(|kind| matches!(kind, ElementType::Int32 | ElementType::Int64)) {
            read_as_indices(&mut w.proto, &float, name);
        }
        if !w.proto.node.iter().any(|node| node.input.contains(&float)) {
            continue;
        }
        let node = w.fresh(&format!("{name}_to_float"));
        w.node("Cast", &node, vec![name.clone()], &float, vec![int("to", data_type::FLOAT.into())]);
        // Nodes come after what they read.
        w.proto.node.rotate_right(1);
    }
}

/// What reads an input of integers as indices reads it as it is: a Cast to floats and back says nothing.
fn read_as_indices(proto: &mut GraphProto, float: &str, input: &str) {
    let is_index = |node: &NodeProto| {
        let to = node.attribute.iter().find(|a| a.name.as_deref() == Some("to")).and_then(|a| a.i);
        node.op_type.as_deref() == Some("Cast") && to == Some(data_type::INT64.into()) && node.input.first().is_some_and(|i| i == float)
    };
    let casts: Vec<String> = proto.node.iter().filter(|node| is_index(node)).filter_map(|node| node.output.first().cloned()).collect();
    proto.node.retain(|node| !is_index(node));
    casts.iter().for_each(|index| rename(proto, index, input));
}

fn rename(proto: &mut GraphProto, from: &str, to: &str) {
    let names = proto.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
    names.filter(|name| *name == from).for_each(|name| *name = to.to_owned());
}

/// The integers or truths that a Cast made a float of, and their type.
fn source(proto: &GraphProto, float: &str) -> Option<(String, i32)> {
    let makers: HashMap<&str, &NodeProto> = proto.node.iter().filter_map(|node| Some((node.output.first()?.as_str(), node))).collect();
    let cast = makers.get(float).filter(|node| node.op_type.as_deref() == Some("Cast"))?;
    let source = cast.input.first()?;
    let maker = makers.get(source.as_str())?;
    let made = match maker.op_type.as_deref()? {
        "ArgMax" => data_type::INT64,
        "Cast" => i32::try_from(maker.attribute.iter().find(|a| a.name.as_deref() == Some("to"))?.i?).ok()?,
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor" | "Not" | "IsNaN" | "IsInf" => {
            data_type::BOOL
        }
        _ => return None,
    };
    Some((source.clone(), made))
}

/// Adds what an output is that nothing computes.
fn pass(w: &mut ModelWriter, graph: &Graph, output: &PassedOutput) -> ValueInfoProto {
    let kind = number(output.kind);
    match &output.value {
        Passed::Input(id) => {
            let input = graph.tensor(*id);
            let name = &input.name;
            if *name != output.name {
                let own = graph.element_types.get(id).copied().unwrap_or(ElementType::Float);
                let (op, attributes) = if own == output.kind { ("Identity", vec![]) } else { ("Cast", vec![int("to", kind.into())]) };
                let node = w.fresh(&format!("{}_{op}", output.name));
                w.node(op, &node, vec![name.clone()], &output.name, attributes);
            }
            value_info(&output.name, kind, &input.shape)
        }
        Passed::Constant { shape, bytes } => {
            give_way(w, &output.name);
            let dims: Vec<i64> = shape.iter().filter_map(|&n| i64::try_from(n).ok()).collect();
            let (name, raw_data) = (Some(output.name.clone()), Some(bytes.clone()));
            w.proto.initializer.push(TensorProto { name, dims, data_type: Some(kind), raw_data, ..TensorProto::default() });
            value_info(&output.name, kind, &Shape::fixed(shape))
        }
    }
}

/// Gives what has a name already another one: the trained form of a constant that is handed out as it was.
fn give_way(w: &mut ModelWriter, name: &str) {
    if let Some(at) = w.proto.initializer.iter().position(|t| t.name.as_deref() == Some(name)) {
        let other = w.fresh(&format!("{name}_read"));
        rename(&mut w.proto, name, &other);
        w.proto.initializer[at].name = Some(other);
    }
}

fn info(graph: &Graph, id: TensorId) -> ValueInfoProto {
    let kind = graph.element_types.get(&id).map_or(data_type::FLOAT, |&kind| number(kind));
    value_info(&graph.tensor(id).name, kind, &graph.tensor(id).shape)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::fixture::{ModelFixture, int, value_info};
    use crate::proto::{ModelProto, ValueInfoProto};
    use crate::read_bytes;
    use crate::write::float::float_bytes;

    #[test]
    fn outputs_keep_the_types_that_they_have_in_the_file() {
        let mut model = ModelFixture::new(17, &[0, 3, 8, 8]).node("ArgMax", &["x"], "class", vec![int("axis", 1)]);
        model = model.node("Greater", &["x", "x"], "mask", vec![]).node("Relu", &["x"], "wide", vec![]).node("Neg", &["wide"], "y", vec![]);
        model = model.node("Cast", &["class"], "small", vec![int("to", data_type::INT32.into())]);
        let kinds = [
            ("class", data_type::INT64),
            ("mask", data_type::BOOL),
            ("wide", data_type::DOUBLE),
            ("small", data_type::INT32),
            ("y", data_type::FLOAT),
        ];
        for (name, kind) in kinds {
            let mut info = value_info(name, &[0]);
            info.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = Some(kind);
            model.graph().output.push(info);
        }
        let graph = read_bytes("typed", &model.bytes()).unwrap();
        let written = ModelProto::decode(&float_bytes(&graph).unwrap()[..]).unwrap().graph.unwrap();
        let kind = |o: &ValueInfoProto| o.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).and_then(|t| t.elem_type).unwrap();
        let found: Vec<(&str, i32)> = written.output.iter().map(|o| (o.name.as_deref().unwrap(), kind(o))).collect();
        assert_eq!(found, kinds);
        let maker = |name: &str| {
            let node = written.node.iter().find(|node| node.output[0] == name).unwrap();
            node.op_type.as_deref().unwrap()
        };
        assert_eq!(kinds.map(|(name, _)| maker(name)), ["Identity", "Identity", "Cast", "Cast", "Neg"]);
        let back = read_bytes("back", &float_bytes(&graph).unwrap()).unwrap();
        assert_eq!(back.outputs().len(), kinds.len());
    }

    #[test]
    fn what_nothing_computes_is_written_as_it_was() {
        let mut model = ModelFixture::new(17, &[0, 3, 8, 8]).floats("k", &[3, 1, 1], &[1.0, 2.0, 3.0]).ints("ids", &[7, 8]);
        model = model.node("Mul", &["x", "k"], "y", vec![]).node("Identity", &["x"], "same", vec![]);
        model = ["ids", "x", "y", "k", "same"].into_iter().fold(model, ModelFixture::output);
        let mut graph = read_bytes("passed", &model.bytes()).unwrap();
        let k = graph.find("k").unwrap();
        graph.set_constant(k, vec![5.0; 3]).unwrap();
        let written = ModelProto::decode(&float_bytes(&graph).unwrap()[..]).unwrap().graph.unwrap();
        let names: Vec<&str> = written.output.iter().map(|o| o.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["ids", "x", "y", "k", "same"]);
        let stored = |name: &str| written.initializer.iter().find(|t| t.name.as_deref() == Some(name)).unwrap().clone();
        assert_eq!((stored("ids").data_type, stored("ids").raw_data.unwrap()[0]), (Some(data_type::INT64), 7));
        assert_eq!(stored("k").raw_data.unwrap(), [1f32, 2.0, 3.0].map(f32::to_le_bytes).concat());
        let product = written.node.iter().find(|n| n.output[0] == "y").unwrap();
        assert_eq!(stored(&product.input[1]).raw_data.unwrap(), [5f32; 3].map(f32::to_le_bytes).concat(), "what was trained is read");
    }

    #[test]
    fn inputs_keep_their_types() {
        let mut model = ModelFixture::new(17, &[0, 3, 8, 8]).node("Relu", &["x"], "y", vec![]).node("Identity", &["x"], "same", vec![]);
        model = model.output("same");
        let half =
            |info: &mut ValueInfoProto| info.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = Some(data_type::FLOAT16);
        model.graph().output.push(value_info("y", &[0]));
        half(&mut model.graph().input[0]);
        half(&mut model.graph().output[1]);
        let graph = read_bytes("half", &model.bytes()).unwrap();
        let written = ModelProto::decode(&float_bytes(&graph).unwrap()[..]).unwrap().graph.unwrap();
        let kinds: Vec<i32> = written
            .input
            .iter()
            .chain(&written.output)
            .map(|o| o.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap().elem_type.unwrap())
            .collect();
        assert_eq!(kinds, [data_type::FLOAT16; 3]);
        let operators: Vec<&str> = written.node.iter().map(|n| n.op_type.as_deref().unwrap()).collect();
        assert_eq!(operators, ["Cast", "Relu", "Cast", "Identity"]);
        assert_eq!(written.node[3].input[0], "x");
        assert_eq!(read_bytes("back", &float_bytes(&graph).unwrap()).unwrap().nodes().len(), graph.nodes().len() + 1);
    }
}
