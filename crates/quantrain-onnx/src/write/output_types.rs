//! Outputs that are no 32-bit floats in the file that was read: they are computed in floats, and handed out as what they were.

use std::collections::HashMap;

use quantrain_graph::{ElementType, Graph};

use super::model::{ModelWriter, int};
use crate::proto::{GraphProto, NodeProto, data_type};

/// ONNX's number of a type.
pub(super) fn number(kind: ElementType) -> i32 {
    match kind {
        ElementType::Double => data_type::DOUBLE,
        ElementType::Int32 => data_type::INT32,
        ElementType::Int64 => data_type::INT64,
        ElementType::Bool => data_type::BOOL,
    }
}

/// Puts a Cast before each output that has a type of its own, or hands out what had the type already.
pub(super) fn restore(w: &mut ModelWriter, graph: &Graph) {
    for (&id, &kind) in &graph.output_types {
        let name = &graph.tensor(id).name;
        let float = w.fresh(&format!("{name}_float"));
        let kind = number(kind);
        rename(&mut w.proto, name, &float);
        match source(&w.proto, &float, kind) {
            Some(source) => {
                let node = w.fresh(&format!("{name}_Identity"));
                w.node("Identity", &node, vec![source], name, vec![]);
                let is_read = w.proto.node.iter().any(|node| node.input.contains(&float));
                w.proto.node.retain(|node| is_read || node.output.first() != Some(&float));
            }
            None => {
                let node = w.fresh(&format!("{name}_to_type"));
                w.node("Cast", &node, vec![float], name, vec![int("to", kind.into())]);
            }
        }
    }
}

fn rename(proto: &mut GraphProto, from: &str, to: &str) {
    let names = proto.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
    names.filter(|name| *name == from).for_each(|name| *name = to.to_owned());
}

/// The tensor of a type that a Cast made a float of.
fn source(proto: &GraphProto, float: &str, kind: i32) -> Option<String> {
    let makers: HashMap<&str, &NodeProto> = proto.node.iter().filter_map(|node| Some((node.output.first()?.as_str(), node))).collect();
    let cast = makers.get(float).filter(|node| node.op_type.as_deref() == Some("Cast"))?;
    let source = cast.input.first()?;
    let made = match makers.get(source.as_str())?.op_type.as_deref()? {
        "ArgMax" => data_type::INT64,
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor" | "Not" | "IsNaN" | "IsInf" => {
            data_type::BOOL
        }
        _ => return None,
    };
    (made == kind).then(|| source.clone())
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
}
