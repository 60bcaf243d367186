//! The two products that convolutions and matrix products are made of, with their sums in registers.
//!
//! - [`gather`]: rows of one matrix are gathered from memory, place by place, and multiplied with a packed panel of
//!   the other. A place is where a row starts; runs of consecutive elements say where it goes on. So a convolution
//!   needs no im2col: its rows are read where they lie.
//! - [`outer`]: sums of outer products over places, for gradients of weights.
//!
//! Each sum runs over its terms in one order, whatever the tiles: results depend neither on tiles nor on threads.

mod gather;
mod outer;
pub(crate) mod pack;

pub(crate) use gather::{Gathered, gather};
pub(crate) use outer::{Outer, outer};
pub(crate) use pack::{Panel, Panels};

/// A stretch of consecutive elements of a row: `[offset from the row's place, length]`.
pub(crate) type Run = [u32; 2];

/// Where a row is read and where its result is written: `[offset in the source, offset in the target]`.
pub(crate) type Place = [u32; 2];
