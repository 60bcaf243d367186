//! What a user knows better than the file: shapes of inputs.

use std::fmt;
use std::str::FromStr;

use quantrain_graph::{Dim, Op, Shape, Tensor};

use super::tensor::LARGEST_EXTENT;
use crate::InputShapeError;

/// How a file is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOptions {
    /// Shapes that go before those of the file.
    pub input_shapes: Vec<InputShape>,
    /// What runs operators between constants that the reader, which knows no execution, does not fold by itself. Without it such an operator
    /// is refused.
    pub evaluate: Option<Evaluate>,
}

/// Runs an operator on constants, values in ONNX's order of axes; `None` where it cannot.
#[derive(Clone, Copy)]
pub struct Evaluate(pub fn(&Op, &[Tensor]) -> Option<Vec<f32>>);

impl fmt::Debug for Evaluate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Evaluate")
    }
}

impl PartialEq for Evaluate {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.0, other.0)
    }
}

/// The shape of an input, written `NAME=Nx3x224x224`; `N` in the first place frees the batch. The name may be left out where there is one input.
///
/// A Reshape or Resize whose constant target begins with the file's own batch follows the new one.
///
/// ```
/// let shape: quantrain_onnx::InputShape = "image=Nx3x480x640".parse()?;
/// assert_eq!(shape.name.as_deref(), Some("image"));
/// assert_eq!(shape.shape, quantrain_graph::Shape::batched(&[3, 480, 640]));
/// # Ok::<(), quantrain_onnx::InputShapeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputShape {
    /// The input; `None` stands for the only one.
    pub name: Option<String>,
    /// Its shape.
    pub shape: Shape,
}

impl FromStr for InputShape {
    type Err = InputShapeError;

    fn from_str(text: &str) -> Result<Self, InputShapeError> {
        // Names of tensors may hold any character; extents hold no `=`.
        let (name, extents) = text.rsplit_once('=').map_or((None, text), |(name, extents)| (Some(name), extents));
        let refused = || InputShapeError { found: text.into() };
        let dims = extents.split('x').enumerate().map(|(axis, extent)| match extent {
            "N" if axis == 0 => Ok(Dim::Batch(1)),
            extent => {
                let n = extent.parse::<u32>().ok().filter(|&n| n >= 1 && i64::from(n) <= LARGEST_EXTENT);
                n.and_then(|n| usize::try_from(n).ok()).map(Dim::Fixed).ok_or_else(refused)
            }
        });
        let shape = Shape(dims.collect::<Result<_, _>>()?);
        if name == Some("") { Err(refused()) } else { Ok(InputShape { name: name.map(str::to_owned), shape }) }
    }
}

impl fmt::Display for InputShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}=")?;
        }
        let extents: Vec<String> = self.shape.0.iter().map(Dim::to_string).collect();
        f.write_str(&extents.join("x"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_read_as_it_is_written() {
        for text in ["Nx3x224x224", "1x10", "a=b:0=4x3", "x=N"] {
            assert_eq!(text.parse::<InputShape>().unwrap().to_string(), text);
        }
        for text in ["", "x=", "=1x3", "3xN", "1x-1", "0x3", "1x4294967295", "1,3", "n"] {
            assert!(text.parse::<InputShape>().is_err(), "{text}");
        }
    }
}
