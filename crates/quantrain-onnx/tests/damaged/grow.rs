//! Nodes that could stand in a network: the right number and type of inputs and attributes, values that mostly make sense.

use quantrain_damage::Generator;

use super::proto::*;

/// Adds a node of any operator on what is there; its result becomes an output, which damages nothing behind it.
pub fn node(graph: &mut GraphProto, generator: &mut Generator) {
    let mut grown = Grown { output: format!("grown{}", graph.node.len()), graph, generator, input: Vec::new(), attribute: Vec::new() };
    let op = grown.generator.pick(quantrain_onnx::operators()).name;
    grown.fill(op);
    let Grown { output, input, attribute, graph, .. } = grown;
    graph.output.push(ValueInfoProto { name: Some(output.clone()), r#type: None });
    graph.node.push(NodeProto { input, output: vec![output], op_type: Some(op.into()), attribute, ..NodeProto::default() });
}

struct Grown<'g> {
    graph: &'g mut GraphProto,
    generator: &'g mut Generator,
    output: String,
    input: Vec<String>,
    attribute: Vec<AttributeProto>,
}

impl Grown<'_> {
    fn fill(&mut self, op: &str) {
        // Shape arithmetic has no activations among its inputs.
        if !matches!(op, "ConstantOfShape" | "Range" | "Constant") {
            self.activation();
        }
        match op {
            "ConstantOfShape" => self.integers(1..5, 0..9),
            "Range" => (0..3).for_each(|_| self.integers(0..1, 0..9)),
            "Constant" => self.ints("value_ints", 0..5, -9..9),
            "Reshape" | "Expand" | "Tile" => self.integers(1..5, -1..4),
            "Pad" => self.integers(8..9, 0..3),
            "Slice" => (0..4).for_each(|_| self.integers(1..2, 0..4)),
            "Gather" => {
                self.integers(0..3, 0..4);
                self.int("axis", -4..4);
            }
            "Squeeze" | "Unsqueeze" => self.integers(1..3, -4..5),
            "Split" => {
                self.integers(1..4, 1..4);
                self.int("axis", -4..4);
            }
            "Upsample" => self.scales(),
            "Resize" if self.generator.below(2) == 0 => {
                self.input.push(String::new());
                self.scales();
            }
            "Resize" => {
                self.input.extend([String::new(), String::new()]);
                self.integers(4..5, 1..65);
            }
            "Transpose" => {
                let mut axes = vec![0i64, 1, 2, 3];
                (0..4).for_each(|i| axes.swap(i, self.generator.below(4)));
                self.attribute.push(ints("perm", axes));
            }
            "Concat" => {
                self.input.push(self.input[0].clone());
                self.int("axis", -4..4);
            }
            "Conv" | "ConvTranspose" => {
                let (channels, inputs) = (*self.generator.pick(&[1, 3, 8, 16, 32]), *self.generator.pick(&[1, 3, 8, 16]));
                let kernel = *self.generator.pick(&[1, 2, 3]);
                self.floats(&[channels, inputs, kernel, kernel]);
                self.window();
                self.int("group", 1..2);
            }
            "MaxPool" | "AveragePool" => {
                self.ints("kernel_shape", 2..3, 1..4);
                self.window();
            }
            "DepthToSpace" | "SpaceToDepth" => self.int("blocksize", 1..5),
            "Flatten" | "Softmax" | "LogSoftmax" | "ArgMax" => self.int("axis", -4..5),
            "Clip" => (0..2).for_each(|_| self.floats(&[])),
            "Gemm" | "MatMul" => {
                let inputs = *self.generator.pick(&[10, 16, 32, 64]);
                self.floats(&[inputs, 5]);
            }
            "BatchNormalization" => (0..4).for_each(|_| self.floats(&[16])),
            "Cast" => self.int("to", 1..2),
            name if name.starts_with("Reduce") => {
                self.ints("axes", 1..3, -4..4);
                self.int("keepdims", 0..2);
            }
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" => match self.generator.below(3) {
                0 => self.activation(),
                1 => self.floats(&[]),
                _ => {
                    let channels = *self.generator.pick(&[1, 3, 16]);
                    self.floats(&[1, channels, 1, 1]);
                }
            },
            _ => {}
        }
    }

    /// One of the last results, or of any.
    fn activation(&mut self) {
        let nodes = &self.graph.node;
        let last = if self.generator.below(2) == 0 { nodes.len().min(6) } else { nodes.len() };
        let node = nodes.get(nodes.len() - 1 - self.generator.below(last));
        self.input.push(node.and_then(|n| n.output.first().cloned()).unwrap_or_default());
    }

    fn window(&mut self) {
        self.ints("strides", 2..3, 1..4);
        self.ints("pads", 4..5, 0..3);
        self.ints("dilations", 2..3, 1..3);
    }

    fn scales(&mut self) {
        let mut values = [1.0, 1.0, 2.0, 2.0f32];
        if self.generator.below(4) == 0 {
            values[2 + self.generator.below(2)] = self.generator.float();
        }
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(vec![4], data_type::FLOAT, raw);
    }

    fn floats(&mut self, dims: &[i64]) {
        let count = dims.iter().product::<i64>() as usize;
        let raw = (0..count).flat_map(|i| (i as f32 * 0.01).to_le_bytes()).collect();
        self.constant(dims.to_vec(), data_type::FLOAT, raw);
    }

    /// Integers as an input; none in number is a scalar.
    fn integers(&mut self, count: std::ops::Range<usize>, small: std::ops::Range<i64>) {
        let count = count.start + self.generator.below(count.len());
        let raw = (0..count.max(1)).flat_map(|_| self.generator.mostly_small(small.clone()).to_le_bytes()).collect();
        self.constant(if count == 0 { vec![] } else { vec![count as i64] }, data_type::INT64, raw);
    }

    fn constant(&mut self, dims: Vec<i64>, kind: i32, raw: Vec<u8>) {
        let name = format!("{}_{}", self.output, self.input.len());
        self.input.push(name.clone());
        let tensor = TensorProto { name: Some(name), dims, data_type: Some(kind), raw_data: Some(raw), ..TensorProto::default() };
        self.graph.initializer.push(tensor);
    }

    fn int(&mut self, name: &str, small: std::ops::Range<i64>) {
        let i = Some(self.generator.mostly_small(small));
        let name = Some(name.to_owned());
        self.attribute.push(AttributeProto { name, i, r#type: Some(attribute_type::INT), ..AttributeProto::default() });
    }

    fn ints(&mut self, name: &str, count: std::ops::Range<usize>, small: std::ops::Range<i64>) {
        let count = count.start + self.generator.below(count.len());
        let values = (0..count).map(|_| self.generator.mostly_small(small.clone())).collect();
        self.attribute.push(ints(name, values));
    }
}

fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { name: Some(name.into()), ints, r#type: Some(attribute_type::INTS), ..AttributeProto::default() }
}
