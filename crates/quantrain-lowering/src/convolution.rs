//! Convolutions and products with weights.

use quantrain_graph::op::{ConvTranspose, Convolution};
use quantrain_graph::{Graph, Op, Unit};
use quantrain_kernels::convolution::ConvolutionShape;

use crate::{Site, Unsupported};

/// The convolution that a block computes for a batch of `batch`; `None` where the unit is no block. A product has one pixel.
///
/// # Errors
/// It is the product of an image with a matrix.
pub fn shape(graph: &Graph, unit: &Unit, batch: usize) -> Result<Option<ConvolutionShape>, Unsupported> {
    let Some(block) = unit.block(graph) else { return Ok(None) };
    let site = Site { graph, node: graph.node(unit.core), batch };
    let (x, y) = (site.input(0), site.output());
    Ok(Some(match &site.node.op {
        Op::Convolution(Convolution { window, groups }) | Op::ConvTranspose(ConvTranspose { window, groups, .. }) => ConvolutionShape {
            batch: x[0],
            in_height: x[2],
            in_width: x[3],
            in_channels: x[1],
            out_height: y[2],
            out_width: y[3],
            out_channels: y[1],
            kernel: window.kernel,
            stride: window.strides,
            padding_begin: [window.pads[0], window.pads[1]],
            dilation: window.dilations,
            groups: *groups,
            transposed: matches!(site.node.op, Op::ConvTranspose(_)),
        },
        // The last axis of an image is not the one that lies last in memory.
        _ if x.len() == 4 => return Err(site.unsupported("products of an image with a matrix are not supported; flatten it first")),
        _ => ConvolutionShape::product(x[..x.len() - 1].iter().product(), x[x.len() - 1], block.channels),
    }))
}
