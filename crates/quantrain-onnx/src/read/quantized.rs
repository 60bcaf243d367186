//! Operators on integers (ONNX Runtime's QOperator form): before anything is read, each becomes its float operator between DequantizeLinear and
//! QuantizeLinear, with the file's own scales, zero points and integers.

use std::collections::{HashMap, HashSet};

use super::message::live::graphs_mut;
use super::tensor;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type, data_type};

/// The domain of ONNX Runtime's own operators.
const MICROSOFT: &str = "com.microsoft";

/// Operators that move codes as they are, by their first input.
const MOVING: [&str; 8] = ["Flatten", "Identity", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"];

/// Operators that leave codes what they are, but for fewer of them.
const NARROWING: [&str; 4] = ["Clip", "Max", "Min", "Relu"];

/// The integer operators that are rewritten: domain, name, what they become.
pub(super) const OPERATORS: [(&str, &str, &str); 10] = [
    ("", "QLinearConv", "Conv"),
    ("", "QLinearMatMul", "MatMul"),
    (MICROSOFT, "QGemm", "Gemm"),
    (MICROSOFT, "QLinearAdd", "Add"),
    (MICROSOFT, "QLinearAveragePool", "AveragePool"),
    (MICROSOFT, "QLinearConcat", "Concat"),
    (MICROSOFT, "QLinearGlobalAveragePool", "GlobalAveragePool"),
    (MICROSOFT, "QLinearLeakyRelu", "LeakyRelu"),
    (MICROSOFT, "QLinearMul", "Mul"),
    (MICROSOFT, "QLinearSigmoid", "Sigmoid"),
];

/// Scales of one tensor, at most: those that the file has.
const MOST_SCALES: usize = 1 << 20;

/// Names of scale and zero point.
type Numbers = [String; 2];

/// Rewrites the graph's integer operators. One whose numbers are not in the file stays as it is, and is refused where it is read.
pub(super) fn expand(graph: &mut GraphProto) {
    let mut expander = Expander { codes: HashMap::new(), dequantized: HashSet::new(), nodes: Vec::new(), initializers: Vec::new() };
    for mut node in std::mem::take(&mut graph.node) {
        // ONNX Runtime's own pair has types that ONNX's has in later operator sets only.
        if node.domain.as_deref() == Some(MICROSOFT) && matches!(node.op_type.as_deref(), Some("QuantizeLinear" | "DequantizeLinear")) {
            node.domain = None;
        }
        let expanded = expander.expand(graph, &node);
        if expanded.is_none() {
            expander.nodes.push(node);
        }
    }
    expander.nodes.iter_mut().flat_map(graphs_mut).for_each(expand);
    graph.node = expander.nodes;
    graph.initializer.extend(expander.initializers);
}

struct Expander {
    /// Of tensors of codes, their numbers.
    codes: HashMap<String, Numbers>,
    /// Tensors that have a DequantizeLinear already.
    dequantized: HashSet<String>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl Expander {
    /// `None` leaves the node as it is.
    fn expand(&mut self, graph: &GraphProto, node: &NodeProto) -> Option<()> {
        let input = |i: usize| node.input.get(i).filter(|name| !name.is_empty()).cloned();
        let numbers = |at: usize| Some([input(at)?, input(at + 1)?]);
        let (domain, name) = (node.domain.as_deref().unwrap_or_default(), node.op_type.as_deref().unwrap_or_default());
        let is_default = matches!(domain, "" | "ai.onnx");
        if is_default && name == "QuantizeLinear" {
            let (codes, scale) = (node.output.first()?, input(1)?);
            let zero = input(2).unwrap_or_else(|| self.zero(graph, node, codes, &scale));
            self.codes.insert(codes.clone(), [scale, zero]);
            return None;
        }
        if is_default && NARROWING.contains(&name) {
            let numbers = node.input.iter().find_map(|input| self.codes.get(input))?.clone();
            self.codes.insert(node.output.first()?.clone(), numbers);
            return None;
        }
        if is_default && MOVING.contains(&name) {
            let numbers = self.codes.get(node.input.first()?)?.clone();
            let mut inputs = node.input.clone();
            inputs[0] = self.dequantize(&input(0)?, &numbers, None);
            self.finish(node, name, inputs, &numbers, &[]);
            return Some(());
        }
        let own = if is_default { "" } else { domain };
        let (_, _, becomes) = OPERATORS.into_iter().find(|(domain, integer, _)| (*domain, *integer) == (own, name))?;
        match becomes {
            "Conv" => {
                let bias = input(8).map(|b| self.bias(graph, node, &b, &input(1)?, &input(4)?)).map_or(Some(None), |b| b.map(Some))?;
                let x = self.dequantize(&input(0)?, &numbers(1)?, None);
                let w = self.dequantize(&input(3)?, &numbers(4)?, Some(0));
                self.finish(node, becomes, [x, w].into_iter().chain(bias).collect(), &numbers(6)?, &[]);
            }
            "MatMul" => {
                let (a, b) = (self.dequantize(&input(0)?, &numbers(1)?, None), self.dequantize(&input(3)?, &numbers(4)?, Some(-1)));
                self.finish(node, becomes, vec![a, b], &numbers(6)?, &[]);
            }
            "Gemm" => {
                let transposed = node.attribute.iter().any(|a| a.name.as_deref() == Some("transB") && a.i == Some(1));
                let to = numbers(7)?;
                let bias = input(6).map(|b| self.bias(graph, node, &b, &input(1)?, &input(4)?)).map_or(Some(None), |b| b.map(Some))?;
                let a = self.dequantize(&input(0)?, &numbers(1)?, None);
                let b = self.dequantize(&input(3)?, &numbers(4)?, Some(i64::from(!transposed)));
                self.finish(node, becomes, [a, b].into_iter().chain(bias).collect(), &to, &[]);
            }
            "Add" | "Mul" => {
                let to = numbers(6)?;
                let (a, b) = (self.dequantize(&input(0)?, &numbers(1)?, None), self.dequantize(&input(3)?, &numbers(4)?, None));
                self.finish(node, becomes, vec![a, b], &to, &[]);
            }
            "Concat" => {
                let to = numbers(0)?;
                let parts: Option<Vec<_>> = (2..node.input.len()).step_by(3).map(|i| Some((input(i)?, numbers(i + 1)?))).collect();
                let inputs = parts?.iter().map(|(codes, numbers)| self.dequantize(codes, numbers, None)).collect();
                self.finish(node, becomes, inputs, &to, &[]);
            }
            _ => {
                // Pools and functions of one tensor; pools may have their channels last.
                let channels_last =
                    node.attribute.iter().any(|a| a.name.as_deref() == Some("channels_last") && a.i.is_some_and(|i| i != 0));
                let (to, from) = (numbers(3)?, numbers(1)?);
                if channels_last {
                    return None;
                }
                let x = self.dequantize(&input(0)?, &from, None);
                self.finish(node, becomes, vec![x], &to, &["channels_last"]);
            }
        }
        Some(())
    }

    /// The name of the real values of some codes; `axis` is where weights may have several scales.
    fn dequantize(&mut self, codes: &str, [scale, zero]: &Numbers, axis: Option<i64>) -> String {
        let real = format!("{codes}|{scale}|{zero}");
        if self.dequantized.insert(real.clone()) {
            let inputs = vec![codes.to_owned(), scale.clone(), zero.clone()];
            self.node("DequantizeLinear", inputs, &real, axis.map(|a| int("axis", a)).into_iter().collect());
        }
        real
    }

    /// The zero points of a QuantizeLinear that names none: 0 of the type that it says, for each scale.
    fn zero(&mut self, graph: &GraphProto, node: &NodeProto, codes: &str, scale: &str) -> String {
        let asked = node.attribute.iter().find(|a| a.name.as_deref() == Some("output_dtype")).and_then(|a| i32::try_from(a.i?).ok());
        let kind = asked.filter(|&kind| kind != 0).unwrap_or(data_type::UINT8);
        let dims = graph.initializer.iter().find(|t| t.name.as_deref() == Some(scale)).map_or_else(Vec::new, |t| t.dims.clone());
        let count = dims.iter().fold(1usize, |n, &d| n.saturating_mul(usize::try_from(d).unwrap_or(0)));
        // Codes of 4 bits lie in pairs.
        let listed = if matches!(kind, data_type::INT4 | data_type::UINT4) { count.div_ceil(2) } else { count };
        let name = format!("{codes}|no zero");
        let int32_data = vec![0; listed.min(MOST_SCALES)];
        self.initializers.push(TensorProto { name: Some(name.clone()), dims, data_type: Some(kind), int32_data, ..TensorProto::default() });
        name
    }

    /// The name of the real values of a bias, 32-bit codes on the scale of its sums.
    fn bias(&mut self, graph: &GraphProto, node: &NodeProto, codes: &str, input_scale: &str, weight_scale: &str) -> Option<String> {
        let values = |name: &str| {
            let stored = graph.initializer.iter().find(|t| t.name.as_deref() == Some(name))?;
            tensor::check(stored).ok()?;
            tensor::floats(stored).ok()
        };
        let (input, weights) = (values(input_scale)?, values(weight_scale)?);
        let [input] = input.values[..] else { return None };
        let (scale, zero) = (format!("{codes}|scale"), format!("{codes}|zero"));
        let dims: Vec<i64> = if weights.values.len() == 1 { vec![] } else { vec![i64::try_from(weights.values.len()).ok()?] };
        let scales: Vec<f32> = weights.values.iter().map(|w| input * w).collect();
        let zeros = vec![0; scales.len()];
        let named = |name: &str| TensorProto { name: Some(name.to_owned()), dims: dims.clone(), ..TensorProto::default() };
        self.initializers.push(TensorProto { data_type: Some(data_type::FLOAT), float_data: scales, ..named(&scale) });
        self.initializers.push(TensorProto { data_type: Some(data_type::INT32), int32_data: zeros, ..named(&zero) });
        let real = format!("{}|bias", node.output.first()?);
        self.node("DequantizeLinear", vec![codes.to_owned(), scale, zero], &real, vec![int("axis", 0)]);
        Some(real)
    }

    /// The float operator and the QuantizeLinear behind it.
    fn finish(&mut self, node: &NodeProto, becomes: &str, input: Vec<String>, to: &Numbers, without: &[&str]) {
        let codes = node.output.first().cloned().unwrap_or_default();
        let real = format!("{codes}|real");
        let attribute = node.attribute.iter().filter(|a| !without.contains(&a.name.as_deref().unwrap_or_default())).cloned().collect();
        let op_type = Some(becomes.to_owned());
        self.nodes.push(NodeProto {
            op_type,
            input,
            output: vec![real.clone()],
            attribute,
            name: node.name.clone(),
            ..NodeProto::default()
        });
        self.node("QuantizeLinear", vec![real, to[0].clone(), to[1].clone()], &codes, Vec::new());
        self.codes.insert(codes, to.clone());
    }

    fn node(&mut self, op: &str, input: Vec<String>, output: &str, attribute: Vec<AttributeProto>) {
        let (op_type, output) = (Some(op.to_owned()), vec![output.to_owned()]);
        self.nodes.push(NodeProto { op_type, input, output, attribute, ..NodeProto::default() });
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.into()), i: Some(value), r#type: Some(attribute_type::INT), ..AttributeProto::default() }
}
