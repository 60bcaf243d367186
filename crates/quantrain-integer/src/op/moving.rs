//! Operators whose results are elements of their inputs: with one quantizer, codes move as they are.

use super::layout::{Gather, Join, Reorder};
use super::pooling::Windows;
use super::reduction::Extreme;
use super::resize::Nearest;
use super::steps::{FloatFormula, Scaled, Steps, change_unit, in_steps};
use super::{Operator, Site};
use crate::buffer::{Buffer, View};

/// Something that tensors are made of.
pub(super) trait Element: Copy + PartialOrd + Send + Sync {
    /// Nothing is less.
    const LEAST: Self;
    /// Nothing is greater.
    const GREATEST: Self;
}

impl Element for u8 {
    const LEAST: u8 = 0;
    const GREATEST: u8 = u8::MAX;
}

impl Element for u16 {
    const LEAST: u16 = 0;
    const GREATEST: u16 = u16::MAX;
}

impl Element for f32 {
    const LEAST: f32 = f32::NEG_INFINITY;
    const GREATEST: f32 = f32::INFINITY;
}

/// Which elements of the inputs the output has.
pub enum Mover {
    /// All, where they are.
    Identity,
    /// Those of all inputs in turns.
    Join(Join),
    /// Those at some indices.
    Gather(Gather),
    /// All, in another order.
    Reorder(Reorder),
    /// The nearest pixels.
    Nearest(Nearest),
    /// The largest of each window.
    Largest(Windows),
    /// The greatest or the least over axes.
    Extreme(Extreme),
}

impl Mover {
    /// `fill` is what is put where there is no input.
    fn apply<T: Element>(&self, x: &[&[T]], fill: T, y: &mut [T]) {
        match self {
            Mover::Identity => y.copy_from_slice(x[0]),
            Mover::Join(m) => m.apply(x, y),
            Mover::Gather(m) => m.apply(x[0], fill, y),
            Mover::Reorder(m) => m.apply(x[0], y),
            Mover::Nearest(m) => m.apply(x[0], y),
            Mover::Largest(m) => m.apply(x[0], y),
            Mover::Extreme(m) => m.apply(x[0], y),
        }
    }

    /// The value that is put where there is no input.
    fn fill(&self) -> f32 {
        if let Mover::Gather(gather) = self { gather.fill } else { 0.0 }
    }
}

/// Inputs of another unit than the output are multiplied on the way.
impl Steps for Mover {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let in_steps = |x: &Scaled| {
            let mut values = x.values.clone();
            change_unit(&mut values, x.scale, out_scale);
            values
        };
        let x: Vec<Vec<f32>> = x.iter().map(in_steps).collect();
        self.apply(&x.iter().map(Vec::as_slice).collect::<Vec<_>>(), self.fill() / out_scale, y);
    }
}

/// Elements of inputs that have the output's quantizer, or none.
pub struct Moved {
    /// Which.
    pub mover: Mover,
    /// The stored code of the mover's fill.
    pub fill: i32,
    /// Elements of the output.
    pub len: usize,
}

/// The kernel that moves elements of the inputs of `site`.
pub(super) fn moved(site: &Site, mover: Mover) -> Operator {
    if !site.carries {
        return in_steps(site, FloatFormula::Move(mover));
    }
    let fill = site.output.map_or(0, |g| g.centred_of_steps(mover.fill() / g.scale()) + g.zero());
    Operator::Move(Moved { mover, fill, len: site.output_len() })
}

impl Moved {
    pub(super) fn run(&self, x: &[View], y: &mut Buffer) {
        macro_rules! all {
            ($kind:ident) => {
                x.iter()
                    .map(|x| if let View::$kind(x) = x { *x } else { unreachable!("carried codes are of one kind") })
                    .collect::<Vec<_>>()
            };
        }
        match y {
            Buffer::Bytes(y) => self.mover.apply(&all!(Bytes), self.fill as u8, &mut y[..self.len]),
            Buffer::Words(y) => self.mover.apply(&all!(Words), self.fill as u16, &mut y[..self.len]),
            Buffer::Reals(y) => self.mover.apply(&all!(Reals), self.mover.fill(), &mut y[..self.len]),
        }
    }
}
