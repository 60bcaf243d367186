//! A recurrent layer as one node; several results joined behind it.

use quantrain_graph::Node;
use quantrain_graph::op::{Activation, Cell, Direction, Recurrent, Results};

use super::chain::Chain;
use super::error::WriteError;
use super::model::{ModelWriter, floats, int, text, texts};
use crate::proto::{AttributeProto, data_type};

/// Adds the node, its inputs in ONNX's places.
pub(super) fn write(w: &mut ModelWriter, node: &Node, op: &Recurrent, inputs: Vec<String>, output: &str) -> Result<(), WriteError> {
    let places = op.places();
    let input = |place: Option<usize>| place.and_then(|at| inputs.get(at)).cloned().unwrap_or_default();
    let lengths = op.lengths.as_ref().map(|lengths| {
        let lengths: Vec<i32> = lengths.iter().map(|&n| i32::try_from(n).unwrap_or(i32::MAX)).collect();
        w.codes(&format!("{}.lengths", node.name), &[lengths.len()], data_type::INT32, &lengths)
    });
    let mut all = [Some(0), Some(1), Some(2), places.bias].map(input).to_vec();
    all.push(lengths.unwrap_or_default());
    all.extend([places.hidden, places.cell, places.peepholes].map(input));
    while all.last().is_some_and(String::is_empty) {
        all.pop();
    }
    let attributes = attributes(op).ok_or_else(|| WriteError::NoForm {
        node: node.name.clone(),
        operator: op.name(),
        reason: "ONNX has no such function of a gate",
    })?;
    let Results { sequence, hidden, cell } = op.results;
    let wanted = [sequence, hidden, cell];
    if wanted.iter().filter(|&&w| w).count() == 1 {
        let named = |wanted: bool| if wanted { output.to_owned() } else { String::new() };
        let mut outputs = wanted.map(named).to_vec();
        outputs.truncate(wanted.iter().position(|&w| w).map_or(1, |last| last + 1));
        w.node_of(op.name(), &node.name, all, outputs, attributes);
        return Ok(());
    }
    let names = ["Y", "Y_h", "Y_c"].iter().zip(wanted).map(|(part, wanted)| match wanted {
        true => w.fresh(&format!("{}_{part}", node.name)),
        false => String::new(),
    });
    let names: Vec<String> = names.collect();
    let count = if cell { 3 } else { 2 };
    w.node_of(op.name(), &node.name, all, names[..count].to_vec(), attributes);
    let first = w.integers(&format!("{}.first", node.name), &[0]);
    let join = w.fresh(&format!("{}_Concat", node.name));
    let mut chain = Chain { w, name: &node.name, output };
    let mut parts = Vec::new();
    for (position, name) in names.into_iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        parts.push(if position == 0 { name } else { chain.step("Unsqueeze", vec![name, first.clone()], vec![]) });
    }
    w.node("Concat", &join, parts, output, vec![int("axis", 0)]);
    Ok(())
}

fn attributes(op: &Recurrent) -> Option<Vec<AttributeProto>> {
    let direction = match op.direction {
        Direction::Forward => "forward",
        Direction::Reverse => "reverse",
        Direction::Bidirectional => "bidirectional",
    };
    let (mut names, mut alphas, mut betas) = (Vec::new(), Vec::new(), Vec::new());
    for function in &op.functions {
        match *function {
            Activation::Sigmoid | Activation::Tanh | Activation::Relu | Activation::Softsign | Activation::Softplus => {}
            Activation::LeakyRelu { alpha } | Activation::ThresholdedRelu { alpha } | Activation::Elu { alpha } => alphas.push(alpha),
            Activation::HardSigmoid { alpha, beta } => {
                alphas.push(alpha);
                betas.push(beta);
            }
            _ => return None,
        }
        names.push(function.name());
    }
    let mut attributes = vec![text("direction", direction), int("hidden_size", op.hidden as i64), texts("activations", &names)];
    let lists = [("activation_alpha", alphas), ("activation_beta", betas)];
    attributes.extend(lists.into_iter().filter(|(_, numbers)| !numbers.is_empty()).map(|(name, numbers)| floats(name, numbers)));
    if let Cell::Gru { linear_before_reset } = op.cell {
        attributes.push(int("linear_before_reset", linear_before_reset.into()));
    }
    Some(attributes)
}
