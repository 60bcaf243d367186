//! Pools over height and width.

use quantrain_graph::op::Window;
use quantrain_kernels::pooling::PoolShape;

use crate::Site;

/// A pool; `count_padding` where a mean counts what lies outside.
pub fn shape(window: &Window, count_padding: bool, site: &Site) -> PoolShape {
    let (x, y) = (site.input(0), site.output());
    PoolShape {
        batch: x[0],
        in_height: x[2],
        in_width: x[3],
        channels: x[1],
        out_height: y[2],
        out_width: y[3],
        kernel: window.kernel,
        stride: window.strides,
        padding_begin: [window.pads[0], window.pads[1]],
        padding_end: [window.pads[2], window.pads[3]],
        dilation: window.dilations,
        count_padding,
    }
}
