//! What the tests share: models built message by message, and the reference networks.

use std::path::PathBuf;

use prost::Message;
use quantrain_graph::Graph;

use crate::ReadError;
use crate::proto::*;

/// Folder of the reference networks, beside the repository.
pub fn networks() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/models"))
}

/// Reads a reference network; where it is missing, says so and gives `None`.
pub fn network(test: &str, name: &str) -> Option<Graph> {
    let path = networks().join(name);
    if !path.exists() {
        println!("skipped: {test}: {} is missing", path.display());
        return None;
    }
    Some(crate::read(path).expect("reference networks can be read"))
}

/// The reference networks.
pub const NETWORKS: [&str; 7] = [
    "resnet20_cifar10.onnx",
    "resnet8_cifar10_tiny.onnx",
    "efficientnet_lite0.onnx",
    "mobilenet_v1_025_vww.onnx",
    "fashion_mobilenet.onnx",
    "camvid_mobile_unet_untrained.onnx",
    "camvid_mobile_unet.onnx",
];

/// A model of one input `x`, grown node by node.
pub struct ModelFixture {
    pub model: ModelProto,
}

impl ModelFixture {
    /// A model of an operator set with input `x` of the given extents; 0 is the batch.
    pub fn new(opset: i64, extents: &[i64]) -> Self {
        let graph = GraphProto { name: Some("g".into()), input: vec![value_info("x", extents)], ..GraphProto::default() };
        let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(opset) }];
        ModelFixture { model: ModelProto { ir_version: Some(8), graph: Some(graph), opset_import, ..ModelProto::default() } }
    }

    pub fn graph(&mut self) -> &mut GraphProto {
        self.model.graph.get_or_insert_default()
    }

    /// A node that writes `output`, which also is its name.
    pub fn node(mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> Self {
        self.graph().node.push(NodeProto {
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![output.into()],
            name: Some(output.into()),
            op_type: Some(op.into()),
            attribute: attributes,
            ..NodeProto::default()
        });
        self
    }

    pub fn floats(self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.raw(name, dims, data_type::FLOAT, raw)
    }

    pub fn ints(self, name: &str, values: &[i64]) -> Self {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.raw(name, &[values.len() as i64], data_type::INT64, raw)
    }

    pub fn raw(mut self, name: &str, dims: &[i64], kind: i32, raw: Vec<u8>) -> Self {
        self.graph().initializer.push(tensor(name, dims, kind, raw));
        self
    }

    pub fn output(mut self, name: &str) -> Self {
        self.graph().output.push(ValueInfoProto { name: Some(name.into()), r#type: None });
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// Reads the model, its output being `y`.
    pub fn read(self) -> Result<Graph, ReadError> {
        crate::read_bytes("test.onnx", &self.output("y").bytes())
    }
}

pub fn tensor(name: &str, dims: &[i64], kind: i32, raw: Vec<u8>) -> TensorProto {
    TensorProto { name: Some(name.into()), dims: dims.to_vec(), data_type: Some(kind), raw_data: Some(raw), ..TensorProto::default() }
}

/// A float input or output; an extent of 0 or less is a name, not a number.
pub fn value_info(name: &str, extents: &[i64]) -> ValueInfoProto {
    let dim = extents.iter().map(|&n| match n {
        1.. => DimensionProto { dim_value: Some(n), dim_param: None },
        _ => DimensionProto { dim_value: None, dim_param: Some("batch".into()) },
    });
    let tensor_type = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(TensorShapeProto { dim: dim.collect() }) };
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i: Some(i), ..attribute(name, attribute_type::INT) }
}

pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { f: Some(f), ..attribute(name, attribute_type::FLOAT) }
}

pub fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto { s: Some(s.into()), ..attribute(name, attribute_type::STRING) }
}

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { ints: ints.to_vec(), ..attribute(name, attribute_type::INTS) }
}

pub fn floats(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto { floats: floats.to_vec(), ..attribute(name, attribute_type::FLOATS) }
}

pub fn texts(name: &str, texts: &[&str]) -> AttributeProto {
    AttributeProto { strings: texts.iter().map(|t| t.as_bytes().to_vec()).collect(), ..attribute(name, attribute_type::STRINGS) }
}

pub fn tensor_attribute(name: &str, t: TensorProto) -> AttributeProto {
    AttributeProto { t: Some(t), ..attribute(name, attribute_type::TENSOR) }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(kind), ..AttributeProto::default() }
}

pub fn graph_attribute(name: &str, g: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(Box::new(g)), ..attribute(name, attribute_type::GRAPH) }
}

/// An attribute with the value of its function's attribute `of`.
pub fn reference(name: &str, of: &str) -> AttributeProto {
    AttributeProto { name: Some(name.into()), ref_attr_name: Some(of.into()), ..AttributeProto::default() }
}
