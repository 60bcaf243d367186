//! Normalisation outside of blocks: by each sample's own statistics; and a BatchNormalization that no block took.

use quantrain_kernels::normalize::RowNorm;
use quantrain_lowering::normalization::Affine;
use quantrain_lowering::{Site, Unsupported};

use super::steps::{Scaled, Steps};
use super::{in_memory_order, in_onnx_order};

impl Steps for Affine {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        Affine::forward(self, &x[0].values, x[0].scale, out_scale, y);
    }
}

/// Rows normalised by their own mean and variance.
pub struct OfSamples {
    rows: RowNorm,
    shape: Vec<usize>,
    scale: Vec<f32>,
    offset: Option<Vec<f32>>,
}

impl OfSamples {
    pub(super) fn new(rows: RowNorm, site: &Site) -> Result<Self, Unsupported> {
        let scale = site.constant(1).ok_or_else(|| site.unsupported("its parameters must be constants"))?.to_vec();
        Ok(OfSamples { rows, shape: site.input(0), scale, offset: site.constant(2).map(<[f32]>::to_vec) })
    }
}

impl Steps for OfSamples {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let mut normalised = vec![0.0; y.len()];
        self.rows.forward(&in_onnx_order(x[0].real(), &self.shape), &self.scale, self.offset.as_deref(), &mut normalised);
        y.copy_from_slice(&in_memory_order(normalised, &self.shape));
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }
}
