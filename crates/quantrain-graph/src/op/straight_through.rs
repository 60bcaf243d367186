//! Values of one path, derivative of another.

use std::fmt;
use std::sync::Arc;

use crate::{Shape, ShapeError};

/// A function of one tensor that keeps its shape, such as rounding or a user's model of an analogue multiplier.
pub trait Function: Send + Sync {
    /// A name for plans and summaries.
    fn name(&self) -> &str;

    /// Writes f(x) to `y`; both have `shape` (batch size filled in, ONNX's axis order) and are row-major in it.
    fn apply(&self, shape: &[usize], x: &[f32], y: &mut [f32]);
}

/// Value exactly f(x), bit for bit; derivative the identity.
#[derive(Clone)]
pub struct StraightThrough {
    function: Arc<dyn Function>,
}

impl StraightThrough {
    /// Wraps a function.
    pub fn new(function: impl Function + 'static) -> Self {
        StraightThrough { function: Arc::new(function) }
    }

    /// The wrapped function.
    pub fn function(&self) -> &dyn Function {
        self.function.as_ref()
    }
}

impl fmt::Debug for StraightThrough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StraightThrough({})", self.function.name())
    }
}

impl PartialEq for StraightThrough {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function)
    }
}

/// Value of the first input, derivative as if it were the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagate;

impl Propagate {
    pub(super) fn output_shape(&self, value: &Shape, gradient: &Shape) -> Result<Shape, ShapeError> {
        if value == gradient { Ok(value.clone()) } else { Err(ShapeError::NoBroadcast { left: value.clone(), right: gradient.clone() }) }
    }
}
