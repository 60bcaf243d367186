//! What a runtime quantizes, and how: data, read from a file; built-in targets take the same road as a user's own.

use serde::Deserialize;

use crate::op::{Activation, Interpolation};
use crate::pairs::ProductKernel;
use crate::{BiasLimit, Op, OperatorKernels, Scheme, Sign, TargetError};

/// The formula that turns an accumulator into an output code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Requantize {
    /// `rint(f32(acc)·m) + z`, `m = f32(f32(s_x·s_w) / s_y)` (ONNX Runtime).
    Multiply,
    /// A shift with half up: all scales are powers of two (TIDL).
    Shift,
    /// A multiplier of 31 bits and a shift, each rounded: `s_x·s_w / s_y` in f64 (TensorFlow Lite for microcontrollers, CMSIS-NN, Ethos-U).
    FixedPointDouble,
}

/// What the target does with an operator's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The output has a quantizer of its own.
    Quantized,
    /// The output carries the input's quantizer.
    Carried,
    /// The output and all inputs share one quantizer.
    Shared,
    /// The operator runs in float.
    Float,
}

/// A runtime's rules, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    name: String,
    file: TargetFile,
}

const BUILT_IN: [(&str, &str); 5] = [
    ("onnxruntime", include_str!("../targets/onnxruntime.toml")),
    ("onnxruntime-vnni", include_str!("../targets/onnxruntime-vnni.toml")),
    ("tidl-pow2", include_str!("../targets/tidl-pow2.toml")),
    ("tflite-micro", include_str!("../targets/tflite-micro.toml")),
    ("litert", include_str!("../targets/litert.toml")),
];

/// A target file as written; see `targets/onnxruntime.toml` for an example of every key.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetFile {
    requantize: Requantize,
    block_activations: Vec<String>,
    quantized: Vec<String>,
    carried: Vec<String>,
    shared: Vec<String>,
    weight_bits: Vec<u8>,
    activation_bits: Vec<u8>,
    quantize_input: bool,
    quantize_output: bool,
    #[serde(default)]
    bias_limit: BiasLimit,
    #[serde(default)]
    saturating_pairs: Vec<ProductKernel>,
    #[serde(default)]
    kernels: OperatorKernels,
    weights: Scheme,
    activations: Scheme,
}

/// The names that rules may use: ONNX's, with Resize split by interpolation.
const RULE_NAMES: [&str; 90] = [
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "BatchNormalization",
    "Relu",
    "Clip",
    "LeakyRelu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Tanh",
    "Elu",
    "Selu",
    "Celu",
    "Gelu",
    "Silu",
    "Softplus",
    "Mish",
    "Exp",
    "Log",
    "Sqrt",
    "Reciprocal",
    "Neg",
    "Abs",
    "Erf",
    "Sin",
    "Cos",
    "Softsign",
    "ThresholdedRelu",
    "Shrink",
    "Pow",
    "Floor",
    "Ceil",
    "Round",
    "Trunc",
    "Sign",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Min",
    "Max",
    "PRelu",
    "Equal",
    "Less",
    "LessOrEqual",
    "Greater",
    "GreaterOrEqual",
    "And",
    "Or",
    "Xor",
    "Not",
    "IsNaN",
    "IsInf",
    "Where",
    "Concat",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceL2",
    "ReduceProd",
    "ArgMax",
    "Softmax",
    "LogSoftmax",
    "Slice",
    "Pad",
    "Resize.nearest",
    "Resize.linear",
    "Resize.cubic",
    "LayerNormalization",
    "RMSNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "LSTM",
    "GRU",
    "RNN",
    "Reshape",
    "Flatten",
    "Transpose",
    "DepthToSpace",
    "SpaceToDepth",
    "Gather",
    "Tile",
    "Expand",
    "Identity",
];

impl Target {
    /// ONNX Runtime's CPU provider.
    pub fn onnxruntime() -> Self {
        Target::named("onnxruntime").expect("built in")
    }

    /// TDA4VM: power of two, symmetric, per tensor.
    pub fn tidl_pow2() -> Self {
        Target::named("tidl-pow2").expect("built in")
    }

    /// Names of the built-in targets.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The built-in target of a name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self, TargetError> {
        let text = BUILT_IN.iter().find(|(n, _)| *n == name).map(|(_, text)| *text);
        let unknown = || TargetError::Unknown { name: name.into(), known: Target::names().collect::<Vec<_>>().join(", ") };
        Target::parse(name, text.ok_or_else(unknown)?)
    }

    /// A target from the text of a file.
    ///
    /// # Errors
    /// The text does not parse, or a rule names an unknown operator.
    pub fn parse(name: &str, text: &str) -> Result<Self, TargetError> {
        let file: TargetFile =
            toml::from_str(text).map_err(|e| TargetError::Syntax { name: name.into(), message: e.message().to_owned() })?;
        let rules = [
            ("block_activations", &file.block_activations),
            ("quantized", &file.quantized),
            ("carried", &file.carried),
            ("shared", &file.shared),
        ];
        for (rule, operators) in rules {
            let unknown = operators.iter().find(|o| !RULE_NAMES.contains(&o.as_str()));
            if let Some(operator) = unknown {
                return Err(TargetError::Operator { name: name.into(), operator: operator.clone(), rule });
            }
        }
        let has_signs = file.weights.symmetric && file.weights.sign == Sign::Signed;
        if !file.saturating_pairs.is_empty() && !has_signs {
            return Err(TargetError::PairsOfUnsigned { name: name.into() });
        }
        if let Some(family) = file.kernels.missing() {
            return Err(TargetError::Kernel { name: name.into(), family });
        }
        Ok(Target { name: name.into(), file })
    }

    /// The target's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How accumulators become codes.
    pub fn requantize(&self) -> Requantize {
        self.file.requantize
    }

    /// Whose arithmetic computes operators without weights.
    pub fn kernels(&self) -> OperatorKernels {
        self.file.kernels
    }

    /// The scheme of weights.
    pub fn weights(&self) -> Scheme {
        self.file.weights
    }

    /// The scheme of activations.
    pub fn activations(&self) -> Scheme {
        self.file.activations
    }

    /// Whether the network's inputs are quantized.
    pub fn quantizes_input(&self) -> bool {
        self.file.quantize_input
    }

    /// Whether the network's outputs are quantized by default.
    pub fn quantizes_output(&self) -> bool {
        self.file.quantize_output
    }

    /// What is done with biases of more than 16 bits, where a run does not say otherwise.
    pub fn bias_limit(&self) -> BiasLimit {
        self.file.bias_limit
    }

    /// Whether a kernel adds products of bytes in pairs that saturate at 16 bits ([`crate::pairs`]).
    pub fn adds_in_pairs(&self, kernel: ProductKernel) -> bool {
        self.file.saturating_pairs.contains(&kernel)
    }

    /// What happens to the output of an operator.
    pub fn placement(&self, op: &Op) -> Placement {
        self.placement_of(rule_name(op))
    }

    /// What happens to the output of an operator of this name; those of Resize end in `.nearest`, `.linear` and `.cubic`.
    pub fn placement_of(&self, name: &str) -> Placement {
        let holds = |list: &[String]| list.iter().any(|o| o == name);
        if holds(&self.file.shared) {
            Placement::Shared
        } else if holds(&self.file.carried) {
            Placement::Carried
        } else if holds(&self.file.quantized) {
            Placement::Quantized
        } else {
            Placement::Float
        }
    }

    /// Whether an activation is computed inside the unit before it, by clamping codes.
    pub fn fuses(&self, activation: &Activation) -> bool {
        activation.clip().is_some() && self.file.block_activations.iter().any(|o| o == activation.name())
    }

    /// Checks a width of weights.
    ///
    /// # Errors
    /// The target does not have it.
    pub fn check_weight_bits(&self, bits: u8) -> Result<u8, TargetError> {
        self.check_bits("weights", &self.file.weight_bits, bits)
    }

    /// Checks a width of activations.
    ///
    /// # Errors
    /// The target does not have it.
    pub fn check_activation_bits(&self, bits: u8) -> Result<u8, TargetError> {
        self.check_bits("activations", &self.file.activation_bits, bits)
    }

    fn check_bits(&self, what: &'static str, allowed: &[u8], bits: u8) -> Result<u8, TargetError> {
        if allowed.contains(&bits) {
            Ok(bits)
        } else {
            Err(TargetError::Bits { name: self.name.clone(), what, bits, allowed: allowed.to_vec() })
        }
    }
}

/// The name by which rules know an operator.
fn rule_name(op: &Op) -> &'static str {
    match op {
        Op::Resize(r) => match r.interpolation {
            Interpolation::Nearest(_) => "Resize.nearest",
            Interpolation::Linear => "Resize.linear",
            Interpolation::Cubic { .. } => "Resize.cubic",
        },
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScaleKind;

    #[test]
    fn every_built_in_target_parses() {
        for name in Target::names() {
            assert_eq!(Target::named(name).unwrap().name(), name);
        }
        assert_eq!(Target::tidl_pow2().activations().scale, ScaleKind::PowerOfTwo);
    }

    #[test]
    fn each_mistake_in_a_target_file_has_its_error() {
        let text = BUILT_IN[0].1;
        let broken = |from: &str, to: &str| Target::parse("mine", &text.replacen(from, to, 1)).unwrap_err();
        assert!(matches!(Target::named("tidk"), Err(TargetError::Unknown { .. })));
        assert!(matches!(broken("requantize", "requantise"), TargetError::Syntax { .. }));
        assert!(matches!(broken("\"MaxPool\"", "\"MaxPoool\""), TargetError::Operator { rule: "carried", .. }));
        assert!(matches!(broken("\"product\"", "\"products\""), TargetError::Syntax { .. }));
        assert!(matches!(broken("symmetric = true", "symmetric = false"), TargetError::PairsOfUnsigned { .. }));
        assert!(matches!(broken("[weights]", "[kernels]\nmean = \"xnnpack\"\n[weights]"), TargetError::Kernel { family: "mean", .. }));
        assert!(matches!(Target::onnxruntime().check_weight_bits(9), Err(TargetError::Bits { bits: 9, .. })));
    }
}
