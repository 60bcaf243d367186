//! All quantizers as JSON, in AIMET's encodings format 0.6.1.

use std::path::Path;

use quantrain_graph::{QuantGraph, Quantizer, TensorId};
use serde_json::{Map, Value, json};

use super::error::WriteError;
use super::{activation_quantizers, unit, write_atomically};

/// Writes the quantizers of activations and weights by tensor name, in the layout of AIMET's encodings format 0.6.1:
/// `x̂ = (q + offset)·scale` with q from 0 to 2^bitwidth − 1, so offset is the lowest code minus the zero point; `min` and `max` are the
/// values of the lowest and the highest q. Weights have one encoding, or one for each output channel.
///
/// Symmetric codes without the lowest one (−127 to 127) have AIMET's full grid here, `zero_point`, `qmin` and `qmax` say what is used.
///
/// # Errors
/// A quantizer without a range, or a file that cannot be written.
pub fn write_encodings(net: &QuantGraph, path: impl AsRef<Path>) -> Result<(), WriteError> {
    write_atomically(path, encodings_text(net)?.as_bytes())
}

pub(super) fn encodings_text(net: &QuantGraph) -> Result<String, WriteError> {
    let quantizers = activation_quantizers(net)?;
    let mut activations = Map::new();
    for (t, tensor) in net.graph().tensors().iter().enumerate() {
        if let Some(q) = net.quantizer_of(TensorId(t)) {
            let scheme = &net.quantizers()[q.0].scheme;
            activations.insert(tensor.name.clone(), Value::Array(vec![encoding(&quantizers[q.0], scheme.bits, scheme.symmetric)]));
        }
    }
    let mut parameters = Map::new();
    for u in 0..net.units().len() {
        let (Some(block), Some(place), Some(weights)) =
            (net.quantized_block(u)?, net.units()[u].block(net.graph()), net.weight_quantizer(u))
        else {
            continue;
        };
        let each = block.weight.quantizers.iter().map(|q| encoding(q, weights.scheme.bits, weights.scheme.symmetric)).collect();
        parameters.insert(unit::tensor_name(net, place.weight).to_owned(), Value::Array(each));
    }
    let file = json!({
        "version": "0.6.1",
        "producer": concat!("quantrain ", env!("CARGO_PKG_VERSION")),
        "target": net.target().name(),
        "activation_encodings": activations,
        "param_encodings": parameters,
    });
    Ok(format!("{file:#}\n"))
}

fn encoding(q: &Quantizer, bits: u8, symmetric: bool) -> Value {
    let lowest = if q.qmin() < 0 { -(1i64 << (bits - 1)) } else { 0 };
    let offset = lowest - i64::from(q.zero_point());
    let steps = (1i64 << bits) - 1;
    // In f64, where f32 values print with more digits than they have, but exactly.
    let value = |steps: i64| f64::from(q.scale()) * steps as f64;
    json!({
        "bitwidth": bits,
        "dtype": "int",
        "is_symmetric": if symmetric { "True" } else { "False" },
        "scale": f64::from(q.scale()),
        "offset": offset,
        "min": value(offset),
        "max": value(offset + steps),
        "zero_point": q.zero_point(),
        "qmin": q.qmin(),
        "qmax": q.qmax(),
    })
}
