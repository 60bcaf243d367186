//! Resize of height and width.

use quantrain_graph::op::Resize;
use quantrain_kernels::resize::{self as kernels, ResizeShape};
use quantrain_lowering::Site;
use quantrain_lowering::resize::{Maps, maps};

use super::{Kernel, Scaled, change_unit, with_real};

pub(super) struct Spatial {
    shape: ResizeShape,
    maps: Maps,
}

pub(super) fn build(op: &Resize, site: &Site) -> Spatial {
    let (shape, maps) = maps(op, site);
    Spatial { shape, maps }
}

impl Kernel for Spatial {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        match &self.maps {
            Maps::Nearest([rows, columns]) => {
                kernels::nearest_forward(&self.shape, rows, columns, x[0].values, y);
                change_unit(y, x[0].scale, out_scale);
            }
            Maps::Linear([rows, columns]) => {
                with_real(x[0], |real| kernels::linear_forward(&self.shape, rows, columns, real, y));
                change_unit(y, 1.0, out_scale);
            }
            Maps::Cubic([rows, columns]) => {
                with_real(x[0], |real| kernels::cubic_forward(&self.shape, rows, columns, real, y));
                change_unit(y, 1.0, out_scale);
            }
        }
    }

    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        match &self.maps {
            Maps::Nearest([rows, columns]) => kernels::nearest_backward(&self.shape, rows, columns, dy, dx, accumulate),
            Maps::Linear([rows, columns]) => kernels::linear_backward(&self.shape, rows, columns, dy, dx, accumulate),
            Maps::Cubic([rows, columns]) => kernels::cubic_backward(&self.shape, rows, columns, dy, dx, accumulate),
        }
    }

    fn moves(&self) -> bool {
        matches!(self.maps, Maps::Nearest(_))
    }
}
