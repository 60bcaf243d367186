//! Several nodes in the place of one operator, where the operator set has no node of its own for it.

use super::model::ModelWriter;
use crate::proto::AttributeProto;

/// The nodes of one function; the last has the name and the output.
pub(super) struct Chain<'w, 'n> {
    pub w: &'w mut ModelWriter,
    pub name: &'n str,
    pub output: &'n str,
}

impl Chain<'_, '_> {
    /// A node before the last; returns the name of its result.
    pub fn step(&mut self, op: &str, inputs: Vec<String>, attributes: Vec<AttributeProto>) -> String {
        let result = self.w.fresh(&format!("{}_{op}", self.name));
        self.w.node(op, &result, inputs, &result, attributes);
        result
    }

    /// A node of a value and a number.
    pub fn with(&mut self, op: &str, x: String, number: f32) -> String {
        let number = self.number(number);
        self.step(op, vec![x, number], vec![])
    }

    /// An initializer that all chains share.
    pub fn number(&mut self, number: f32) -> String {
        self.w.shared(&format!("quantrain.{number}"), |w, wish| w.floats(wish, &[], &[number]))
    }

    /// The last node.
    pub fn last(&mut self, op: &str, inputs: Vec<String>, attributes: Vec<AttributeProto>) {
        self.w.node(op, self.name, inputs, self.output, attributes);
    }
}
