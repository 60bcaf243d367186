//! What a file hands out: what nodes compute, and besides these constants and inputs as they come.

use quantrain_graph::{ElementType, Op, Passed, PassedOutput, TensorId};

use super::Reader;
use super::array::Constant;
use super::node::Value;
use super::number::{self, Number};
use super::tensor;
use crate::proto::{GraphProto, ValueInfoProto};
use crate::{NodeError, ReadError};

pub(super) const NOT_COMPUTED: &str = "no node computes it; remove it from the model";

impl<'m> Reader<'m> {
    pub(super) fn outputs(&mut self, proto: &'m GraphProto) -> Result<(), ReadError> {
        // Of a network that computes nothing else, handing on an input is what it computes.
        let computes = proto.output.iter().any(|output| match self.model.values.get(name_of(output)) {
            Some(&Value::Activation(id)) => self.handed_on(id).is_none(),
            _ => false,
        });
        for (position, output) in proto.output.iter().enumerate() {
            let name = name_of(output);
            let refused = |reason: String| ReadError::Output { file: self.file.clone(), output: name.into(), reason };
            let kind = output.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).and_then(|t| t.elem_type);
            let declared = kind.and_then(tensor::element_type_of);
            let value = self.model.values.get(name).ok_or_else(|| refused(NOT_COMPUTED.into()))?;
            let (kind, value) = match value {
                &Value::Activation(id) => match self.handed_on(id).filter(|_| computes) {
                    Some(input) => {
                        let own = self.model.builder.graph().element_types.get(&input).copied().unwrap_or(ElementType::Float);
                        (declared.filter(|_| id != input).unwrap_or(own), Passed::Input(input))
                    }
                    None => {
                        self.hand_out(id, name, declared)?;
                        continue;
                    }
                },
                Value::Stored(stored) => {
                    let bytes = tensor::bytes(stored).map_err(|source| refused(source.to_string()))?;
                    let kind = tensor::element_type_of(tensor::element_type(stored));
                    let kind =
                        kind.ok_or_else(|| refused("it is a constant of a type that is not read; remove it from the model".into()))?;
                    (kind, Passed::Constant { shape: tensor::extents(stored), bytes })
                }
                Value::Constant(value) => {
                    let default = if matches!(value, Constant::Integers(_)) { ElementType::Int64 } else { ElementType::Float };
                    let kind = declared.unwrap_or(default);
                    let bytes = bytes(value, kind).map_err(|source| refused(source.to_string()))?;
                    (kind, Passed::Constant { shape: value.shape().to_vec(), bytes })
                }
                Value::Codes(_) => {
                    return Err(refused("it is what a QuantizeLinear gives; hand out what the DequantizeLinear behind it gives".into()));
                }
            };
            self.model.builder.pass(PassedOutput { position, name: name.into(), kind, value });
        }
        Ok(())
    }

    /// The input that a tensor is, or is handed on from.
    fn handed_on(&self, mut id: TensorId) -> Option<TensorId> {
        let graph = self.model.builder.graph();
        while !graph.inputs().contains(&id) {
            // A builder numbers tensors as they come, so nodes lie in the order of their outputs.
            let node = graph.nodes().binary_search_by_key(&id, |n| n.output).ok().and_then(|n| graph.nodes().get(n))?;
            id = *node.inputs.first().filter(|_| node.op == Op::Identity)?;
        }
        Some(id)
    }

    /// Hands out what is computed, under a name.
    fn hand_out(&mut self, id: TensorId, name: &str, kind: Option<ElementType>) -> Result<(), ReadError> {
        let id = match self.model.builder.graph().tensor(id).name == name {
            true => id,
            false => self.model.builder.node(name, Op::Identity, &[id], name).map_err(|e| self.graph_error(e))?,
        };
        self.model.builder.output(id);
        // What goes through as it came has the input's type.
        let is_input = self.model.builder.graph().inputs().contains(&id);
        kind.filter(|_| !is_input).into_iter().for_each(|kind| self.model.builder.element_type(id, kind));
        Ok(())
    }
}

fn name_of(output: &ValueInfoProto) -> &str {
    output.name.as_deref().unwrap_or_default()
}

/// A constant's elements, little-endian.
fn bytes(value: &Constant, kind: ElementType) -> Result<Vec<u8>, NodeError> {
    Ok(match value {
        Constant::Floats(a) => a.values.iter().flat_map(|&x| number::encoded(kind, x.into(), number::truncate(x))).collect(),
        Constant::Integers(a) => {
            let fixed: Vec<i64> = a.values.iter().map(|n: &Number| n.fixed()).collect::<Result<_, _>>()?;
            fixed.into_iter().flat_map(|n| number::encoded(kind, number::to_f32(n).into(), n)).collect()
        }
        Constant::Reals(a) => {
            let fixed: Vec<f32> = a.values.iter().map(|x| x.fixed()).collect::<Result<_, _>>()?;
            fixed.into_iter().flat_map(|x| number::encoded(kind, x.into(), number::truncate(x))).collect()
        }
    })
}
