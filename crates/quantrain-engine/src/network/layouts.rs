//! How parameters lie in memory, in terms of the shapes that they have in ONNX.

use quantrain_graph::{QuantGraph, WeightLayout};
use quantrain_lowering::memory_order::walk;

use super::Network;

/// Where the elements of a parameter are in [`super::Parameter::value`] and its gradient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterLayout {
    /// Name of the tensor in the graph.
    pub name: String,
    /// Extents as in ONNX.
    pub shape: Vec<usize>,
    /// Of each axis of `shape`, how far an element is from the next. `None` for the weights of a transposed convolution whose groups have several
    /// inputs: their first axis has no single stride.
    pub strides: Option<Vec<usize>>,
    /// The same with the first axis apart in groups and what is in them, where that is needed.
    parts: (Vec<usize>, Vec<usize>),
}

impl ParameterLayout {
    /// Of a tensor that lies as in ONNX.
    fn plain(name: String, shape: Vec<usize>) -> Self {
        let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        ParameterLayout { name, parts: (shape.clone(), strides.clone()), strides: Some(strides), shape }
    }

    /// Of the weights of block `u`, which lie as `[O, kh, kw, I]`.
    fn of_weights(net: &QuantGraph, u: usize, name: String, shape: Vec<usize>) -> Option<Self> {
        let block = net.units()[u].block(net.graph())?;
        let spatial = shape.get(2..).unwrap_or(&[]);
        let (pixels, channels) = (spatial.iter().product::<usize>(), block.channels.max(1));
        let inputs = shape.iter().product::<usize>() / (channels * pixels).max(1);
        // Only kernels of two axes have their inputs innermost.
        let (input, pixel) = if shape.len() == 4 { (1, inputs) } else { (pixels, 1) };
        let of_channel = inputs * pixels;
        let of_pixels = (0..spatial.len()).map(|axis| pixel * spatial[axis + 1..].iter().product::<usize>());
        let (extents, strides) = match block.layout {
            _ if shape.len() < 2 => return Some(ParameterLayout::plain(name, shape)),
            WeightLayout::ChannelsFirst => ([channels, inputs].to_vec(), [of_channel, input].to_vec()),
            WeightLayout::InputsFirst { groups, .. } => {
                let of_group = channels / groups;
                ([groups, inputs, of_group].to_vec(), [of_group * of_channel, input, of_channel].to_vec())
            }
        };
        let parts = ([&extents[..], spatial].concat(), strides.into_iter().chain(of_pixels).collect::<Vec<_>>());
        let single = match parts.0.len() == shape.len() {
            true => Some(parts.1.clone()),
            false if parts.0[0] == 1 => Some(parts.1[1..].to_vec()),
            false if parts.0[1] == 1 => Some([&parts.1[..1], &parts.1[2..]].concat()),
            false => None,
        };
        Some(ParameterLayout { name, shape, strides: single, parts })
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Values in the engine's order, in ONNX's.
    ///
    /// # Panics
    /// There is not a value for each element.
    pub fn to_onnx_order(&self, values: &[f32]) -> Vec<f32> {
        assert_eq!(values.len(), self.elements(), "one value an element");
        let mut ordered = vec![0.0; values.len()];
        walk(&self.parts.0, [&self.parts.1], |i, [at]| ordered[i] = values[at]);
        ordered
    }

    /// Writes values given in ONNX's order in the engine's.
    ///
    /// # Panics
    /// There is not a value for each element.
    pub fn write_onnx_order(&self, ordered: &[f32], values: &mut [f32]) {
        assert!(ordered.len() == self.elements() && values.len() == ordered.len(), "one value an element");
        walk(&self.parts.0, [&self.parts.1], |i, [at]| values[at] = ordered[i]);
    }
}

impl Network {
    /// How each parameter lies in memory, in the order of [`Network::parameters`].
    pub fn parameter_layouts(&self) -> Vec<ParameterLayout> {
        let (net, graph, mut all) = (&self.net, self.net.graph(), Vec::new());
        let plain = |t: quantrain_graph::TensorId| ParameterLayout::plain(graph.tensor(t).name.clone(), graph.tensor(t).shape.at(1));
        for (u, (p, own)) in self.blocks.iter().zip(&self.own).enumerate() {
            all.extend(own.iter().map(|(t, _)| plain(*t)));
            let (Some(p), unit) = (p, net.units()[u]) else { continue };
            let Some(block) = unit.block(graph) else { continue };
            let weight = graph.tensor(block.weight);
            all.extend(ParameterLayout::of_weights(net, u, weight.name.clone(), weight.shape.at(1)));
            all.extend(block.bias.filter(|_| p.bias.is_some()).map(plain));
            if let (Some(node), Some(_)) = (unit.batch_norm, &p.norm) {
                all.extend(graph.node(node).inputs[1..3].iter().map(|&t| plain(t)));
            }
        }
        all
    }
}
