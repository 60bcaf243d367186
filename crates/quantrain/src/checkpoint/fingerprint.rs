//! A short name for a network or a text.

use std::fmt;

use quantrain_graph::QuantGraph;
use serde::{Deserialize, Serialize};

/// A 64-bit hash (FNV-1a) that is the same on every machine and in every version. It tells apart by accident, not by intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of nothing.
    pub fn new() -> Self {
        Fingerprint(0xcbf2_9ce4_8422_2325)
    }

    /// Of a text.
    pub fn of(text: &str) -> Self {
        Fingerprint::new().and(text.as_bytes())
    }

    /// With more behind it; where a part ends counts.
    pub fn and(self, part: &[u8]) -> Self {
        let length = (part.len() as u64).to_le_bytes();
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Fingerprint(part.iter().chain(&length).fold(self.0, step))
    }
}

impl Default for Fingerprint {
    fn default() -> Self {
        Fingerprint::new()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Of a network before training: its operators with their attributes, the names of its tensors, its weights and its
/// quantizers, but not their ranges.
pub fn network_fingerprint(net: &QuantGraph) -> Fingerprint {
    let graph = net.graph();
    let mut fingerprint = Fingerprint::new();
    for node in graph.nodes() {
        fingerprint = fingerprint.and(node.name.as_bytes()).and(format!("{:?}", node.op).as_bytes());
        for &tensor in node.inputs.iter().chain([&node.output]) {
            fingerprint = fingerprint.and(graph.tensor(tensor).name.as_bytes());
            if let Some(values) = graph.constant(tensor) {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                fingerprint = fingerprint.and(&bytes);
            }
        }
    }
    for quantizer in net.quantizers() {
        fingerprint = fingerprint.and(quantizer.tensor.as_bytes()).and(format!("{:?}", quantizer.scheme).as_bytes());
    }
    for unit in 0..net.units().len() {
        fingerprint = fingerprint.and(format!("{:?}", net.weight_quantizer(unit)).as_bytes());
    }
    fingerprint
}

#[cfg(test)]
mod tests {
    use quantrain_graph::{GraphBuilder, Settings, Target};

    use super::*;

    fn net(name: &str, weight: f32, bits: u8) -> QuantGraph {
        let mut b = GraphBuilder::new("tiny");
        let x = b.input("x", &[3, 8, 8]);
        let y = b.convolution(name, x, 4, [3, 3]).padding([1, 1, 1, 1]).weights(vec![weight; 108]).done().unwrap();
        b.output(y);
        let settings = Settings { weight_bits: Some(bits), ..Settings::default() };
        QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &settings).unwrap()
    }

    #[test]
    fn names_weights_and_widths_count() {
        let first = network_fingerprint(&net("conv", 0.5, 8));
        assert_eq!(first, network_fingerprint(&net("conv", 0.5, 8)));
        for other in [net("conv2", 0.5, 8), net("conv", 0.25, 8), net("conv", 0.5, 4)] {
            assert_ne!(first, network_fingerprint(&other));
        }
        let mut calibrated = net("conv", 0.5, 8);
        calibrated.quantizers_mut()[0].range = Some(quantrain_graph::Range { min: 0.0, max: 1.0 });
        assert_eq!(first, network_fingerprint(&calibrated));
    }

    #[test]
    fn a_hash_is_the_published_one_and_parts_have_ends() {
        // FNV-1a of the bytes "a" and the length 1 in eight bytes.
        let plain = b"a\x01\0\0\0\0\0\0\0".iter().fold(0xcbf29ce484222325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100000001b3));
        assert_eq!(Fingerprint::of("a"), Fingerprint(plain));
        assert_ne!(Fingerprint::of("ab").and(b"c"), Fingerprint::of("a").and(b"bc"));
    }
}
