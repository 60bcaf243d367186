//! Operators on signals `[N, C, L]` run on images of one row `[N, C, 1, L]`: everything that folds, trains and quantizes knows images.
//!
//! An image is made of a signal where it enters the first of them and handed out as a signal behind each; the signal between two of them is
//! read by nobody, and left out at the end.

use quantrain_graph::op::{Extent, Reshape};
use quantrain_graph::{Dim, Op, Shape};

use super::array::Constant;
use super::node::{NodeReader, Operand, Value};
use crate::NodeError;

/// The shape of an image of one row.
fn image_shape(signal: &Shape) -> Reshape {
    let dims = signal.0.iter().copied();
    let mut extents: Vec<Extent> = dims.enumerate().map(|(i, d)| if i == 0 { Extent::Copy } else { Extent::Is(d) }).collect();
    extents.insert(2, Extent::Is(Dim::Fixed(1)));
    Reshape { extents }
}

impl NodeReader<'_, '_> {
    /// An image as it is, a signal as an image. Constants may be weights `[O, I, k]`.
    pub fn image(&mut self, x: Operand) -> Result<Operand, NodeError> {
        let shape = self.shape(&x);
        match shape.rank() {
            3 => {}
            4 => return Ok(x),
            _ => return Err(NodeError::SpatialAxes { shape }),
        }
        match x {
            Operand::Activation(id) => match self.model.images.get(&id) {
                Some(&image) => Ok(Operand::Activation(image)),
                None => self.step(Op::Reshape(image_shape(&shape)), vec![Operand::Activation(id)]),
            },
            Operand::Constant { name, value: Constant::Floats(mut array) } => {
                array.shape.insert(2, 1);
                Ok(Operand::Constant { name, value: Constant::Floats(array) })
            }
            other => Ok(other),
        }
    }

    /// Adds an operator on images, and hands its result out as a signal.
    pub fn add_signal(&mut self, op: Op, operands: Vec<Operand>) -> Result<(), NodeError> {
        let (name, output) = (self.name(), self.output()?);
        let image = self.apply(op, operands, name, &self.model.fresh(&format!("{output}.image")))?;
        let mut extents: Vec<Extent> = self.shape(&image).0.iter().map(|&d| Extent::Is(d)).collect();
        extents.remove(2);
        if let Some(batch) = extents.first_mut() {
            *batch = Extent::Copy;
        }
        let signal =
            self.apply(Op::Reshape(Reshape { extents }), vec![image.clone()], &self.invented(&format!("{name}.signal")), output)?;
        match (image, signal) {
            (Operand::Activation(image), Operand::Activation(signal)) => {
                self.model.images.insert(signal, image);
                self.define(Value::Activation(signal))
            }
            (_, Operand::Constant { value, .. }) => self.define_constant(value),
            _ => Err(NodeError::NotFolded),
        }
    }

    /// The operands as images, where every activation among them has one and the operator treats images as signals.
    pub fn images_of(&self, op: &Op, operands: &[Operand]) -> Option<Vec<Operand>> {
        let first = operands.first().map(|x| self.shape(x));
        let fits = match op {
            Op::Activation(_) | Op::BatchNormalization(_) => true,
            Op::Binary(_) => operands.iter().all(|x| Some(self.shape(x)) == first && matches!(x, Operand::Activation(_))),
            _ => false,
        };
        let image = |x: &Operand| match x {
            Operand::Activation(id) => self.model.images.get(id).map(|&image| Operand::Activation(image)),
            constant => Some(constant.clone()),
        };
        let some = operands.iter().any(|x| matches!(x, Operand::Activation(_)));
        operands.iter().map(image).collect::<Option<Vec<_>>>().filter(|_| fits && some)
    }
}
