//! FusedConv and FusedGemm of ONNX Runtime's optimizer: before anything is read, each becomes its layer, the addend and the activation behind it.

use super::message::live::graphs_mut;
use super::microsoft::DOMAIN;
use crate::proto::{AttributeProto, GraphProto, NodeProto, attribute_type};

/// The operators, and the layer that each holds.
pub(super) const EXPANDED: [(&str, &str); 2] = [("FusedConv", "Conv"), ("FusedGemm", "Gemm")];

/// Attributes that are the activation's.
const ACTIVATION: [&str; 5] = ["activation", "activation_params", "activation_alpha", "activation_beta", "activation_gamma"];

/// Rewrites the graph's joined layers. One with an activation that is not known stays as it is, and is refused where it is read.
pub(super) fn expand(graph: &mut GraphProto) {
    let mut nodes = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node) {
        match parts(&node) {
            Some(parts) => nodes.extend(parts),
            None => nodes.push(node),
        }
    }
    nodes.iter_mut().flat_map(graphs_mut).for_each(expand);
    graph.node = nodes;
}

fn parts(node: &NodeProto) -> Option<Vec<NodeProto>> {
    let own = node.domain.as_deref() == Some(DOMAIN);
    let (_, layer) = EXPANDED.into_iter().find(|(name, _)| own && node.op_type.as_deref() == Some(name))?;
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name.as_deref() == Some(name));
    let function = String::from_utf8(attribute("activation").and_then(|a| a.s.clone()).unwrap_or_default()).ok()?;
    let listed = attribute("activation_params").map_or_else(Vec::new, |a| a.floats.clone());
    let number = |at: usize, name: &str| listed.get(at).copied().or_else(|| attribute(name).and_then(|a| a.f));
    let parameters: &[(&str, Option<f32>)] = match function.as_str() {
        "" | "Relu" | "Sigmoid" | "Tanh" | "Softplus" | "Softsign" => &[],
        "LeakyRelu" | "Elu" | "ThresholdedRelu" => &[("alpha", number(0, "activation_alpha"))],
        "HardSigmoid" => &[("alpha", number(0, "activation_alpha")), ("beta", number(1, "activation_beta"))],
        "Clip" => &[("min", number(0, "activation_alpha")), ("max", number(1, "activation_beta"))],
        _ => return None,
    };
    let output = node.output.first()?;
    let name = node.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| output.clone());
    let step = |op: &str, input: Vec<String>, output: String| NodeProto {
        op_type: Some(op.to_owned()),
        name: Some(output.clone()),
        input,
        output: vec![output],
        ..NodeProto::default()
    };
    let mut nodes = vec![NodeProto {
        name: Some(name),
        domain: None,
        attribute: node.attribute.iter().filter(|a| !ACTIVATION.contains(&a.name.as_deref().unwrap_or_default())).cloned().collect(),
        input: node.input.iter().take(3).cloned().collect(),
        ..step(layer, Vec::new(), format!("{output}|layer"))
    }];
    if let Some(addend) = node.input.get(3).filter(|addend| layer == "Conv" && !addend.is_empty()) {
        nodes.push(step("Add", vec![format!("{output}|layer"), addend.clone()], format!("{output}|sum")));
    }
    if !function.is_empty() {
        let x = nodes.last()?.output.first()?.clone();
        let mut activation = step(&function, vec![x], output.clone());
        let numbers = parameters.iter().filter_map(|&(name, f)| Some((name, f?)));
        if function == "Clip" {
            // Limits are inputs since operator set 11, and attributes before; a Constant serves both.
            for (limit, value) in numbers {
                let constant =
                    NodeProto { attribute: vec![float("value_float", value)], ..step("Constant", vec![], format!("{output}|{limit}")) };
                activation.input.extend(constant.output.clone());
                nodes.push(constant);
            }
        } else {
            activation.attribute = numbers.map(|(name, f)| float(name, f)).collect();
        }
        nodes.push(activation);
    }
    nodes.last_mut()?.output = vec![output.clone()];
    Some(nodes)
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: Some(name.into()), f: Some(f), r#type: Some(attribute_type::FLOAT), ..AttributeProto::default() }
}
