//! The tensors inside a QDQ file: which hold codes, how a runtime can be made to hand them out, and what computes them there.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use prost::Message;

use crate::ReadError;
use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

/// The nodes of a file by what they write: operators and inputs.
pub struct Makers(HashMap<String, (String, Vec<String>)>);

/// How a file, or what a runtime's optimizer made of it, computes the codes of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maker {
    /// This operator gives integers.
    Integer(String),
    /// This operator gives floats, which a QuantizeLinear rounds.
    Float(String),
}

impl Makers {
    /// Reads a file; its initializers are left out.
    ///
    /// # Errors
    /// It is no ONNX model.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let path = path.as_ref();
        let bytes = crate::read::bytes_of(path)?;
        let mut makers = HashMap::new();
        for node in nodes(path, &bytes)? {
            let (op, inputs) = (node.op_type.unwrap_or_default(), node.input);
            node.output.into_iter().for_each(|output| drop(makers.insert(output, (op.clone(), inputs.clone()))));
        }
        Ok(Makers(makers))
    }

    /// What computes the codes of a tensor; `None` for a tensor that no node writes.
    pub fn of(&self, codes: &str) -> Option<Maker> {
        let (op, inputs) = self.behind_activation(codes)?;
        if op != "QuantizeLinear" {
            return Some(Maker::Integer(op.into()));
        }
        let maker = inputs.first().and_then(|input| self.behind_layout(input));
        Some(Maker::Float(maker.map_or("input", |(op, _)| op).into()))
    }

    /// Whether what computes the codes of a tensor reads weights that are integers: as they are, or behind a DequantizeLinear.
    pub fn have_integer_weights(&self, codes: &str) -> bool {
        match self.behind_activation(codes) {
            Some(("QuantizeLinear", inputs)) => {
                let weights = inputs.first().and_then(|input| self.behind_activation(input)).and_then(|(_, inputs)| inputs.get(1));
                weights.and_then(|w| self.behind_layout(w)).is_some_and(|(op, _)| op == "DequantizeLinear")
            }
            maker => maker.is_some(),
        }
    }

    /// The operator that a tensor is from, aside its axes' order and what clips it: an activation, or a Clip that leaves codes unused.
    fn behind_activation<'a>(&'a self, tensor: &'a str) -> Option<(&'a str, &'a [String])> {
        match self.behind_layout(tensor)? {
            ("Relu" | "Clip", inputs) => self.behind_layout(inputs.first()?),
            maker => Some(maker),
        }
    }

    /// The operator that a tensor is from, its axes' order aside.
    fn behind_layout<'a>(&'a self, mut tensor: &'a str) -> Option<(&'a str, &'a [String])> {
        // No path is longer than there are nodes.
        for _ in 0..=self.0.len() {
            let (op, inputs) = self.0.get(tensor)?;
            match inputs.first() {
                Some(input) if op == "Transpose" && self.0.contains_key(input) => tensor = input,
                _ => return Some((op, inputs)),
            }
        }
        None
    }
}

/// The tensors that a QDQ file holds codes of: each as the graph names it, and the name of its codes. A tensor that is handed out behind its
/// DequantizeLinear is there under both names.
///
/// # Errors
/// It is no ONNX model.
pub fn code_tensors(name: impl AsRef<Path>, bytes: &[u8]) -> Result<Vec<(String, String)>, ReadError> {
    let nodes = nodes(name.as_ref(), bytes)?;
    let is = |node: &NodeProto, op: &str| node.op_type.as_deref() == Some(op);
    let clipped: HashMap<&str, &str> =
        nodes.iter().filter(|n| is(n, "Clip")).filter_map(|n| Some((n.output.first()?.as_str(), n.input.first()?.as_str()))).collect();
    let clips: HashMap<&str, &String> =
        nodes.iter().filter(|n| is(n, "Clip")).filter_map(|n| Some((n.input.first()?.as_str(), n.output.first()?))).collect();
    let mut tensors = Vec::new();
    for (input, rounded) in nodes.iter().filter(|n| is(n, "QuantizeLinear")).filter_map(|n| n.input.first().zip(n.output.first())) {
        // A Clip behind it leaves some codes unused.
        let output = *clips.get(rounded.as_str()).unwrap_or(&rounded);
        tensors.push((input.clone(), output.clone()));
        // A Clip before it may only say which codes there are.
        tensors.extend(clipped.get(input.as_str()).map(|&before| (before.to_owned(), output.clone())));
        let behind = nodes.iter().filter(|n| is(n, "DequantizeLinear") && n.input.first() == Some(output));
        tensors.extend(behind.filter_map(|n| n.output.first()).map(|real| (real.clone(), output.clone())));
    }
    Ok(tensors)
}

/// The same file with more outputs. Nothing else of it changes, what this crate does not read included.
pub fn with_outputs<'n>(bytes: &[u8], outputs: impl Iterator<Item = &'n str>) -> Vec<u8> {
    let output = outputs.map(|name| ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }).collect();
    let more = ModelProto { graph: Some(GraphProto { output, ..GraphProto::default() }), ..ModelProto::default() };
    // Messages that follow each other are one message; lists in them are joined.
    [bytes, &more.encode_to_vec()].concat()
}

/// The same file with a scale and a zero point of its own for every DequantizeLinear that reads those of another one; `None` where none does,
/// or where values lie in other files. ONNX Runtime's exact products change zero points of weights in place, and fail where that was done.
///
/// # Errors
/// It is no ONNX model.
pub fn with_own_zero_points(name: impl AsRef<Path>, bytes: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
    let not_onnx = |reason: String| ReadError::NotOnnx { file: name.as_ref().into(), reason };
    let mut model = ModelProto::decode(bytes).map_err(|e| not_onnx(e.to_string()))?;
    let graph = model.graph.as_mut().ok_or_else(|| not_onnx("it has no graph".into()))?;
    let GraphProto { node, initializer, .. } = graph;
    if initializer.iter().any(|tensor| !tensor.external_data.is_empty()) {
        return Ok(None);
    }
    let mut read: HashSet<String> = HashSet::new();
    let mut copies = Vec::new();
    for node in node.iter_mut().filter(|node| node.op_type.as_deref() == Some("DequantizeLinear")) {
        let is_weight = node.input.first().is_some_and(|x| initializer.iter().any(|t| t.name.as_ref() == Some(x)));
        for input in node.input.iter_mut().skip(1).filter(|input| is_weight && !input.is_empty()) {
            if read.insert(input.clone()) {
                continue;
            }
            if let Some(tensor) = initializer.iter().find(|t| t.name.as_ref() == Some(&*input)) {
                *input = format!("{input}|{}", copies.len());
                copies.push(TensorProto { name: Some(input.clone()), ..tensor.clone() });
            }
        }
    }
    if copies.is_empty() {
        return Ok(None);
    }
    initializer.extend(copies);
    Ok(Some(model.encode_to_vec()))
}

fn nodes(name: &Path, bytes: &[u8]) -> Result<Vec<NodeProto>, ReadError> {
    let not_onnx = |reason: String| ReadError::NotOnnx { file: name.into(), reason };
    let model = ModelProto::decode(bytes).map_err(|e| not_onnx(e.to_string()))?;
    Ok(model.graph.ok_or_else(|| not_onnx("it has no graph".into()))?.node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op: &str, input: &str, output: &str) -> NodeProto {
        let (input, output) = (vec![input.to_owned()], vec![output.to_owned()]);
        NodeProto { op_type: Some(op.into()), input, output, ..NodeProto::default() }
    }

    fn file(node: Vec<NodeProto>) -> Vec<u8> {
        let output = vec![ValueInfoProto { name: Some("y".into()), ..ValueInfoProto::default() }];
        let graph = GraphProto { node, output, ..GraphProto::default() };
        ModelProto { ir_version: Some(8), graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
    }

    #[test]
    fn codes_have_the_names_of_the_tensors_before_and_behind_them() {
        let bytes = file(vec![
            node("Conv", "x", "c"),
            node("Clip", "c", "c_clipped"),
            node("QuantizeLinear", "c_clipped", "q"),
            node("DequantizeLinear", "q", "y"),
        ]);
        let pair = |a: &str| (a.to_owned(), "q".to_owned());
        assert_eq!(code_tensors("m", &bytes).unwrap(), [pair("c_clipped"), pair("c"), pair("y")]);
        let on_codes = file(vec![node("QuantizeLinear", "c", "r"), node("Clip", "r", "q"), node("DequantizeLinear", "q", "y")]);
        assert_eq!(code_tensors("m", &on_codes).unwrap(), [pair("c"), pair("y")]);
        assert!(matches!(code_tensors("m", b"not protobuf"), Err(ReadError::NotOnnx { .. })));
    }

    #[test]
    fn every_weight_gets_a_zero_point_of_its_own() {
        let with = |zeros: [&str; 3]| {
            let mut bytes = ModelProto::decode(&file(vec![])[..]).unwrap();
            let graph = bytes.graph.as_mut().unwrap();
            for (i, zero) in zeros.iter().enumerate() {
                let weight = format!("w{i}");
                let input = vec![weight.clone(), format!("s{i}"), (*zero).to_owned()];
                graph.node.push(NodeProto { input, ..node("DequantizeLinear", "", &format!("d{i}")) });
                let stored = |name: &str| TensorProto { name: Some(name.to_owned()), raw_data: Some(vec![7]), ..TensorProto::default() };
                graph.initializer.extend([stored(&weight), stored(&format!("s{i}"))]);
                if !graph.initializer.iter().any(|t| t.name.as_deref() == Some(zero)) {
                    graph.initializer.push(stored(zero));
                }
            }
            with_own_zero_points("m", &bytes.encode_to_vec()).unwrap()
        };
        assert_eq!(with(["a", "b", "c"]), None);
        let graph = ModelProto::decode(&with(["a", "b", "a"]).unwrap()[..]).unwrap().graph.unwrap();
        let zeros: Vec<&str> = graph.node.iter().map(|n| n.input[2].as_str()).collect();
        assert_eq!(zeros[..2], ["a", "b"]);
        let copy = graph.initializer.iter().find(|t| t.name.as_deref() == Some(zeros[2])).unwrap();
        assert!(zeros[2] != "a" && copy.raw_data == Some(vec![7]));
    }

    #[test]
    fn outputs_are_added_and_nothing_else_changes() {
        let bytes = file(vec![node("Conv", "x", "y")]);
        let before = ModelProto::decode(&bytes[..]).unwrap();
        let mut after = ModelProto::decode(&with_outputs(&bytes, ["q", "r"].into_iter())[..]).unwrap();
        let outputs = std::mem::take(&mut after.graph.as_mut().unwrap().output);
        assert_eq!(outputs.iter().map(|o| o.name.as_deref().unwrap()).collect::<Vec<_>>(), ["y", "q", "r"]);
        after.graph.as_mut().unwrap().output = before.graph.as_ref().unwrap().output.clone();
        assert_eq!(after, before);
    }

    #[test]
    fn makers_are_found_behind_transposes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        let nodes = vec![
            node("QLinearConv", "x", "t"),
            node("Transpose", "t", "q"),
            node("Add", "q", "a"),
            node("Transpose", "a", "b"),
            node("QuantizeLinear", "b", "r"),
            node("QuantizeLinear", "input", "s"),
            node("Clip", "r", "c"),
        ];
        std::fs::write(&path, file(nodes)).unwrap();
        let makers = Makers::read(&path).unwrap();
        assert_eq!(makers.of("q"), Some(Maker::Integer("QLinearConv".into())));
        assert_eq!(makers.of("r"), Some(Maker::Float("Add".into())));
        assert_eq!(makers.of("s"), Some(Maker::Float("input".into())));
        assert_eq!(makers.of("c"), Some(Maker::Float("Add".into())), "a Clip on codes leaves some unused");
        assert_eq!(makers.of("x"), None);
        assert!(makers.have_integer_weights("q") && !makers.have_integer_weights("r"));
    }
}
