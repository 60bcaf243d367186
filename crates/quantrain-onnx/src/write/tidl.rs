//! The settings with which TIDL imports a file of [`super::write_clip`].

use std::path::Path;

use quantrain_graph::{QuantGraph, ScaleKind};

use super::error::WriteError;
use super::{carried, write_atomically};

/// Writes import settings for TIDL beside a file of [`crate::write_clip`]: first those of the import tool as `key = value` lines, then, as
/// comments, the compile options of the open-source runtimes.
///
/// Names and values: edgeai-torchvision docs/pixel2pixel/Quantization.md (quantizationStyle 3 and calibrationOption 64 since TIDL 8.0,
/// 0 before) and edgeai-tidl-tools examples/osrt_python/README.md (accuracy_level, tensor_bits, advanced_options). TIDL has 8 and 16
/// bits: narrower codes run in 8. The settings for a calibration by TIDL itself stand below, as comments.
/// Layers of 16 bits in a network of 8 are listed by the tensor that their Clip writes.
///
/// # Errors
/// A file that cannot be written.
pub fn write_tidl_settings(net: &QuantGraph, path: impl AsRef<Path>) -> Result<(), WriteError> {
    write_atomically(path, settings_text(net).as_bytes())
}

pub(super) fn settings_text(net: &QuantGraph) -> String {
    let graph = net.graph();
    let blocks: Vec<(usize, u8)> = (0..net.units().len()).filter_map(|u| Some((u, net.weight_quantizer(u)?.scheme.bits))).collect();
    let outputs: Vec<(usize, u8)> = (0..net.units().len())
        .filter(|&u| carried(net, u).is_none())
        .filter_map(|u| Some((u, net.quantizers()[net.quantizer_of(net.units()[u].output(graph))?.0].scheme.bits)))
        .collect();
    let base = |bits: &[(usize, u8)]| if !bits.is_empty() && bits.iter().all(|&(_, b)| b > 8) { 16 } else { 8 };
    let (parameter_bits, feature_bits) = (base(&blocks), base(&outputs));
    let wide = |bits: &[(usize, u8)], base: u8| {
        let names =
            bits.iter().filter(|&&(_, b)| base == 8 && b > 8).map(|&(u, _)| graph.tensor(net.units()[u].output(graph)).name.as_str());
        names.collect::<Vec<_>>().join(",")
    };
    let (wide_parameters, wide_features) = (wide(&blocks, parameter_bits), wide(&outputs, feature_bits));
    let weights = net.target().weights();
    let (style, scale_type) = match (weights.scale, net.target().activations().symmetric) {
        (ScaleKind::PowerOfTwo, _) => (3, 1),
        (ScaleKind::Free, true) => (2, 0),
        (ScaleKind::Free, false) => (2, 4),
    };
    let narrow = blocks.iter().chain(&outputs).any(|&(_, b)| b < 8);

    let mut text = format!(
        "# TIDL import settings of network `{}`, prepared for target {}; written by quantrain {}.\n",
        graph.name,
        net.target().name(),
        env!("CARGO_PKG_VERSION")
    );
    if narrow {
        text += "# Some codes are narrower than 8 bits; TIDL runs them in 8.\n";
    }
    text += &format!(
        "\n# Import tool. The ranges are in the model, no calibration is needed (calibrationOption = 0 before TIDL 8.0).\n\
         modelType = 2\n\
         numParamBits = {parameter_bits}\n\
         numFeatureBits = {feature_bits}\n\
         quantizationStyle = {style}\n\
         calibrationOption = 64\n"
    );
    for (key, names) in [("outputFeature16bitNamesList", &wide_features), ("params16bitNamesList", &wide_parameters)] {
        if !names.is_empty() {
            text += &format!("{key} = \"{names}\"\n");
        }
    }
    text += &format!(
        "\n# Open-source runtimes (ONNX Runtime with TIDL): compile options.\n\
         # tensor_bits = {}\n\
         # accuracy_level = 0\n\
         # advanced_options:quantization_scale_type = {scale_type}\n",
        parameter_bits.max(feature_bits)
    );
    for (key, names) in [("output_feature_16bit_names_list", &wide_features), ("params_16bit_names_list", &wide_parameters)] {
        if !names.is_empty() {
            text += &format!("# advanced_options:{key} = {names}\n");
        }
    }
    // Same folder, docs/ptq.md: what the devkit's users set where they did not train.
    text += "\n# The float network through TIDL's own calibration instead, without these ranges: import tool\n\
             # calibrationOption = 7, numFrames = 50, biasCalibrationIterations = 50\n\
             # and in the runtimes\n\
             # accuracy_level = 1\n\
             # advanced_options:calibration_frames = 50, advanced_options:calibration_iterations = 50\n\
             # advanced_options:activation_clipping = 1, advanced_options:weight_clipping = 1, advanced_options:bias_calibration = 1\n";
    text += "# A file in QDQ form needs instead: advanced_options:prequantized_model = 1\n";
    text
}
