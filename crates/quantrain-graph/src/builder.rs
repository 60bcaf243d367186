//! Builds a [`Graph`] node by node, checking each shape rule at once.

use std::collections::HashMap;

use crate::graph::{ElementType, Graph, Node, Note, StoredCodes, Tensor, TensorId};
use crate::op::{
    Activation, BatchNormalization, Binary, Convolution, Function, Gemm, GlobalAveragePool, Propagate, StraightThrough, Window,
};
use crate::{GraphError, Op, PassedOutput, Shape};

/// Grows a graph; readers of files and users' own networks both come this way.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    graph: Graph,
    by_name: HashMap<String, TensorId>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        GraphBuilder { graph: Graph { name: name.into(), opset: 17, ..Graph::default() }, by_name: HashMap::new() }
    }

    /// Sets what travels with the file: operator set version and metadata.
    pub fn describe(&mut self, opset: i64, metadata: Vec<(String, String)>) {
        self.graph.opset = opset;
        self.graph.metadata = metadata;
    }

    /// Says what became of the file while it was read.
    pub fn note(&mut self, notes: impl IntoIterator<Item = Note>) {
        self.graph.notes.extend(notes);
    }

    /// A network input of `[N, extents…]`.
    ///
    /// # Panics
    /// Two inputs have one name; use [`GraphBuilder::input_shaped`] for names from outside.
    pub fn input(&mut self, name: &str, extents: &[usize]) -> TensorId {
        self.input_shaped(name, Shape::batched(extents)).expect("input names are distinct")
    }

    /// A network input of any shape.
    ///
    /// # Errors
    /// The name is taken.
    pub fn input_shaped(&mut self, name: &str, shape: Shape) -> Result<TensorId, GraphError> {
        let id = self.tensor(name, shape, None)?;
        self.graph.inputs.push(id);
        Ok(id)
    }

    /// A constant.
    ///
    /// # Errors
    /// The name is taken, the values do not fill the shape, or one is NaN or infinite.
    pub fn constant(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Result<TensorId, GraphError> {
        let expected = Shape::fixed(shape).elements(1);
        if values.len() != expected {
            return Err(GraphError::ConstantLength { tensor: name.into(), found: values.len(), expected });
        }
        if let Some(index) = values.iter().position(|v| v.is_nan()) {
            return Err(GraphError::NotFinite { tensor: name.into(), index, value: values[index] });
        }
        self.tensor(name, Shape::fixed(shape), Some(values))
    }

    /// Says which integers the file holds for a constant.
    pub fn stored_codes(&mut self, id: TensorId, codes: StoredCodes) {
        self.graph.codes.insert(id, codes);
    }

    /// A node; the output's name and the node's name are given, its shape follows from the operator's rule.
    ///
    /// # Errors
    /// The inputs break the operator's rule, or the output's name is taken.
    pub fn node(&mut self, name: &str, op: Op, inputs: &[TensorId], output: &str) -> Result<TensorId, GraphError> {
        let (fewest, most) = op.input_count();
        if inputs.len() < fewest || inputs.len() > most {
            let expected = match (fewest, most) {
                (1, 1) => "1",
                (1, 2) => "1 or 2",
                (2, 2) => "2",
                (2, 3) => "2 or 3",
                (3, 3) => "3",
                (5, 5) => "5",
                (1, _) => "at least 1",
                _ => "as many as its attributes say",
            };
            return Err(GraphError::InputCount { node: name.into(), op: op.name(), found: inputs.len(), expected });
        }
        for position in op.parameter_inputs() {
            if let Some(tensor) = inputs.get(position).map(|&t| self.graph.tensor(t)).filter(|t| t.constant.is_none()) {
                return Err(GraphError::NotConstant { node: name.into(), op: op.name(), tensor: tensor.name.clone() });
            }
        }
        if !op.takes_infinity() {
            inputs.iter().try_for_each(|&t| self.check_finite(t))?;
        }
        let shapes: Vec<&Shape> = inputs.iter().map(|&t| &self.graph.tensor(t).shape).collect();
        let shape = op.output_shape(&shapes).map_err(|source| GraphError::Shape { node: name.into(), op: op.name(), source })?;
        let output = self.tensor(output, shape, None)?;
        self.graph.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec(), output });
        Ok(output)
    }

    fn check_finite(&self, tensor: TensorId) -> Result<(), GraphError> {
        let values = self.graph.constant(tensor).unwrap_or_default();
        let found = values.iter().position(|v| !v.is_finite());
        let error = |index: usize| GraphError::NotFinite { tensor: self.graph.tensor(tensor).name.clone(), index, value: values[index] };
        found.map_or(Ok(()), |index| Err(error(index)))
    }

    /// Marks a tensor as handed out.
    pub fn output(&mut self, id: TensorId) {
        self.graph.outputs.push(id);
    }

    /// Says that an input or output has another type than 32-bit floats where the graph is written.
    pub fn element_type(&mut self, id: TensorId, kind: ElementType) {
        if kind != ElementType::Float {
            self.graph.element_types.insert(id, kind);
        }
    }

    /// Adds an output that nothing computes; in the order of their positions.
    pub fn pass(&mut self, output: PassedOutput) {
        self.graph.passed.push(output);
    }

    /// The tensor of a name.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.by_name.get(name).copied()
    }

    /// The tensors and nodes so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The finished graph, without nodes that no output depends on.
    ///
    /// # Errors
    /// There is no input or no output.
    pub fn finish(mut self) -> Result<Graph, GraphError> {
        for (what, ids) in [("inputs", &self.graph.inputs), ("outputs", &self.graph.outputs)] {
            if ids.is_empty() {
                return Err(GraphError::Missing { what });
            }
        }
        let mut wanted = vec![false; self.graph.tensors.len()];
        self.graph.outputs.iter().for_each(|t| wanted[t.0] = true);
        for node in self.graph.nodes.iter().rev() {
            if wanted[node.output.0] {
                node.inputs.iter().for_each(|t| wanted[t.0] = true);
            }
        }
        self.graph.nodes.retain(|node| wanted[node.output.0]);
        Ok(self.graph)
    }

    /// A convolution with `out` channels; its weights start as zeros until given.
    pub fn convolution<'b>(&'b mut self, name: &str, x: TensorId, out: usize, kernel: [usize; 2]) -> ConvolutionBuilder<'b> {
        let op = Convolution { window: Window::new(kernel), groups: 1 };
        ConvolutionBuilder { builder: self, name: name.into(), x, out, op, weights: None, bias: None }
    }

    /// A fully connected layer: weights `[out, in]`, bias `[out]`.
    ///
    /// # Errors
    /// x is not `[N, in]`, or the values do not fill the shapes.
    pub fn gemm(&mut self, name: &str, x: TensorId, out: usize, weights: Vec<f32>, bias: Vec<f32>) -> Result<TensorId, GraphError> {
        let op = Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: true };
        let input = self.graph.tensor(x).shape.fixed_at(1).map_err(|source| GraphError::Shape { node: name.into(), op: "Gemm", source })?;
        let w = self.constant(&format!("{name}.weight"), &[out, input], weights)?;
        let b = self.constant(&format!("{name}.bias"), &[out], bias)?;
        self.node(name, Op::Gemm(op), &[x, w, b], name)
    }

    /// BatchNormalization with γ = 1, β = 0, μ = 0, σ² = 1, ε = 1e-5, momentum 0.9.
    ///
    /// # Errors
    /// x has no fixed channel axis.
    pub fn batch_norm(&mut self, name: &str, x: TensorId) -> Result<TensorId, GraphError> {
        let shape = &self.graph.tensor(x).shape;
        let channels = shape.fixed_at(1).map_err(|source| GraphError::Shape { node: name.into(), op: "BatchNormalization", source })?;
        let mut inputs = vec![x];
        for (suffix, value) in [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)] {
            inputs.push(self.constant(&format!("{name}.{suffix}"), &[channels], vec![value; channels])?);
        }
        self.node(name, Op::BatchNormalization(BatchNormalization { epsilon: 1e-5, momentum: 0.9 }), &inputs, name)
    }

    /// `max(x, 0)`
    ///
    /// # Errors
    /// The name is taken.
    pub fn relu(&mut self, name: &str, x: TensorId) -> Result<TensorId, GraphError> {
        self.node(name, Op::Activation(Activation::Relu), &[x], name)
    }

    /// `a + b`
    ///
    /// # Errors
    /// The shapes do not broadcast, or the name is taken.
    pub fn add(&mut self, name: &str, a: TensorId, b: TensorId) -> Result<TensorId, GraphError> {
        self.node(name, Op::Binary(Binary::Add), &[a, b], name)
    }

    /// Mean over height and width.
    ///
    /// # Errors
    /// x is no image, or the name is taken.
    pub fn global_average_pool(&mut self, name: &str, x: TensorId) -> Result<TensorId, GraphError> {
        self.node(name, Op::GlobalAveragePool(GlobalAveragePool), &[x], name)
    }

    /// `[N, everything else]`
    ///
    /// # Errors
    /// The name is taken.
    pub fn flatten(&mut self, name: &str, x: TensorId) -> Result<TensorId, GraphError> {
        self.node(name, Op::Flatten(crate::op::Flatten { axis: 1 }), &[x], name)
    }

    /// A user's function as value, the identity as derivative.
    ///
    /// # Errors
    /// The name is taken.
    pub fn straight_through(&mut self, name: &str, x: TensorId, function: impl Function + 'static) -> Result<TensorId, GraphError> {
        self.node(name, Op::StraightThrough(StraightThrough::new(function)), &[x], name)
    }

    /// Value of `value_from`, derivative as if it were `gradient_from`.
    ///
    /// # Errors
    /// The shapes differ, or the name is taken.
    pub fn propagate(&mut self, name: &str, value_from: TensorId, gradient_from: TensorId) -> Result<TensorId, GraphError> {
        self.node(name, Op::Propagate(Propagate), &[value_from, gradient_from], name)
    }

    fn tensor(&mut self, name: &str, shape: Shape, constant: Option<Vec<f32>>) -> Result<TensorId, GraphError> {
        if !shape.is_countable() {
            return Err(GraphError::TooManyElements { tensor: name.into(), shape });
        }
        let id = TensorId(self.graph.tensors.len());
        if self.by_name.insert(name.into(), id).is_some() {
            return Err(GraphError::DefinedTwice { tensor: name.into() });
        }
        self.graph.tensors.push(Tensor { name: name.into(), shape, constant });
        Ok(id)
    }
}

/// The attributes of a convolution on its way into the graph.
#[derive(Debug)]
pub struct ConvolutionBuilder<'b> {
    builder: &'b mut GraphBuilder,
    name: String,
    x: TensorId,
    out: usize,
    op: Convolution,
    weights: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
}

impl ConvolutionBuilder<'_> {
    /// Steps between windows.
    pub fn strides(mut self, strides: [usize; 2]) -> Self {
        self.op.window.strides = strides;
        self
    }

    /// Padding at top, left, bottom, right.
    pub fn padding(mut self, pads: [usize; 4]) -> Self {
        self.op.window.pads = pads;
        self
    }

    /// Distance between the elements of a window.
    pub fn dilations(mut self, dilations: [usize; 2]) -> Self {
        self.op.window.dilations = dilations;
        self
    }

    /// Number of groups.
    pub fn groups(mut self, groups: usize) -> Self {
        self.op.groups = groups;
        self
    }

    /// Weights `[out, in/groups, kh, kw]`.
    pub fn weights(mut self, weights: Vec<f32>) -> Self {
        self.weights = Some(weights);
        self
    }

    /// Bias `[out]`.
    pub fn bias(mut self, bias: Vec<f32>) -> Self {
        self.bias = Some(bias);
        self
    }

    /// Adds the node; its output has the node's name.
    ///
    /// # Errors
    /// The input is no image, a group count does not divide the channels, or values do not fill their shapes.
    pub fn done(self) -> Result<TensorId, GraphError> {
        let ConvolutionBuilder { builder, name, x, out, op, weights, bias } = self;
        let (channels, _, _) =
            builder.graph.tensor(x).shape.image().map_err(|source| GraphError::Shape { node: name.clone(), op: "Conv", source })?;
        let shape = [out, channels / op.groups.max(1), op.window.kernel[0], op.window.kernel[1]];
        let weights = weights.unwrap_or_else(|| vec![0.0; shape.iter().product()]);
        let mut inputs = vec![x, builder.constant(&format!("{name}.weight"), &shape, weights)?];
        if let Some(bias) = bias {
            inputs.push(builder.constant(&format!("{name}.bias"), &[out], bias)?);
        }
        builder.node(&name, Op::Convolution(op), &inputs, &name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_follow_the_rules_of_the_operators() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, 32, 32]);
        let y = b.convolution("conv", x, 16, [3, 3]).strides([2, 2]).padding([1, 1, 1, 1]).done().unwrap();
        let y = b.batch_norm("bn", y).unwrap();
        let y = b.global_average_pool("pool", y).unwrap();
        let y = b.flatten("flat", y).unwrap();
        let y = b.gemm("fc", y, 10, vec![0.0; 160], vec![0.0; 10]).unwrap();
        b.output(y);
        let g = b.finish().unwrap();
        assert_eq!(g.tensor(y).shape, Shape::batched(&[10]));
        assert_eq!(g.multiply_accumulates(crate::NodeId(0)), 16 * 16 * 16 * 27);
    }

    #[test]
    fn each_mistake_has_its_error() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, 8, 8]);
        assert!(matches!(b.convolution("c", x, 4, [9, 9]).done(), Err(GraphError::Shape { .. })));
        assert!(matches!(b.constant("k", &[2], vec![1.0]), Err(GraphError::ConstantLength { found: 1, expected: 2, .. })));
        assert!(matches!(b.constant("k", &[2], vec![1.0, f32::NAN]), Err(GraphError::NotFinite { index: 1, .. })));
        let mask = b.constant("mask", &[3, 1, 1], vec![0.0, 0.0, f32::NEG_INFINITY]).unwrap();
        assert!(b.node("masked", Op::Binary(Binary::Add), &[x, mask], "masked").is_ok());
        let scaled = b.node("scaled", Op::Binary(Binary::Mul), &[x, mask], "scaled");
        assert!(matches!(scaled, Err(GraphError::NotFinite { index: 2, .. })));
        assert!(matches!(b.relu("x", x), Err(GraphError::DefinedTwice { .. })));
        assert!(matches!(b.node("n", Op::Identity, &[x, x], "n"), Err(GraphError::InputCount { found: 2, .. })));
        let op = Op::Convolution(Convolution { window: Window::new([1, 1]), groups: 1 });
        assert!(matches!(b.node("n", op, &[x, x], "n"), Err(GraphError::NotConstant { .. })));
        let tile = crate::op::Tile { repeats: vec![1, 1 << 30, 1 << 30, 1] };
        assert!(matches!(b.node("n", Op::Tile(tile), &[x], "tiled"), Err(GraphError::TooManyElements { .. })));
        assert!(matches!(GraphBuilder::new("empty").finish(), Err(GraphError::Missing { what: "inputs" })));
    }
}
