//! Whose arithmetic computes the operators without weights that change their codes' unit.

use serde::Deserialize;

/// A library of kernels for codes of 8 bits; docs/adding-a-target.md has the formulas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelLibrary {
    /// The float formula, rounded at the end; MLAS's where ONNX Runtime has an integer kernel.
    #[default]
    Mlas,
    /// TensorFlow Lite's reference kernels, as TFLite for microcontrollers runs them: fixed-point multipliers, rounded twice.
    Tflite,
    /// XNNPACK, LiteRT's default on processors.
    Xnnpack,
}

/// The library of each family of operators; a key that is missing means `mlas`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct OperatorKernels {
    /// Add of two tensors of codes.
    pub add: KernelLibrary,
    /// AveragePool.
    pub average_pool: KernelLibrary,
    /// GlobalAveragePool and ReduceMean.
    pub mean: KernelLibrary,
}

impl OperatorKernels {
    /// A family whose library has no formula for it here.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let families = [("average-pool", self.average_pool), ("mean", self.mean)];
        families.into_iter().find(|(_, library)| *library == KernelLibrary::Xnnpack).map(|(family, _)| family)
    }
}
