//! Constant nodes.

use super::array::{Array, Constant};
use super::node::{NodeReader, Value};
use super::number::Number;
use super::tensor;
use crate::NodeError;

pub(super) fn constant(node: &mut NodeReader) -> Result<(), NodeError> {
    if let Some(stored) = node.tensor("value")? {
        tensor::check(stored).map_err(|source| NodeError::Tensor { tensor: "value".into(), source })?;
        return node.define(Value::Stored(stored));
    }
    let value = if let Some(x) = node.float("value_float")? {
        Constant::Floats(Array::scalar(x))
    } else if let Some(xs) = node.floats("value_floats")? {
        Constant::Floats(Array::row(xs))
    } else if let Some(n) = node.int("value_int")? {
        Constant::Integers(Array::scalar(Number::Fixed(n)))
    } else if let Some(ns) = node.ints("value_ints")? {
        Constant::Integers(Array::row(ns.into_iter().map(Number::Fixed).collect()))
    } else {
        return Err(NodeError::AttributeMissing { attribute: "value" });
    };
    node.define_constant(value)
}
