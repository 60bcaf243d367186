//! One operator between constants, run while a file is read.

use quantrain_graph::{GraphBuilder, Op, QuantGraph, Shape, Tensor};
use quantrain_kernels::permute::permute;
use quantrain_lowering::memory_order::physical_permutation;

use crate::{EngineError, Mode, Network, Plan, Purpose, Workspace};

/// What `op` makes of inputs that are all known, in ONNX's order of axes.
///
/// # Errors
/// The inputs break the operator's rule, or the engine cannot run its form.
pub fn evaluate(op: &Op, inputs: &[Tensor]) -> Result<Vec<f32>, EngineError> {
    let mut builder = GraphBuilder::new("constants");
    let mut ids = Vec::with_capacity(inputs.len());
    let mut fed = Vec::new();
    for (i, input) in inputs.iter().enumerate() {
        let (name, extents) = (format!("input.{i}"), input.shape.at(1));
        let values = input.constant.clone().unwrap_or_default();
        // Weights are what a plan is made from; everything else may come from outside.
        let is_weight = op.parameter_inputs().contains(&i) || matches!(op, Op::Gemm(_)) && i > 0;
        ids.push(if is_weight {
            builder.constant(&name, &extents, values)?
        } else {
            let mut physical = vec![0.0; values.len()];
            permute(&values, &extents, &physical_permutation(extents.len()), &mut physical);
            fed.push(physical);
            builder.input_shaped(&name, Shape::fixed(&extents))?
        });
    }
    let output = builder.node("constant", op.clone(), &ids, "output")?;
    builder.output(output);
    let net = QuantGraph::float(builder.finish()?);
    let plan = Plan::new(&net, 1, Purpose::Inference)?;
    let (mut workspace, mut network) = (Workspace::new(&plan), Network::new(net));
    let fed: Vec<&[f32]> = fed.iter().map(Vec::as_slice).collect();
    network.forward(&plan, &mut workspace, Mode::FLOAT, &fed, &mut ())?;
    Ok(network.output_in_onnx_order(&plan, &workspace, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantrain_graph::op::{Activation, MatMul, Reduce, Reduction, Transpose};

    fn tensor(extents: &[usize], values: &[f32]) -> Tensor {
        Tensor { name: String::new(), shape: Shape::fixed(extents), constant: Some(values.to_vec()) }
    }

    #[test]
    fn operators_run_between_constants() {
        let matrix = tensor(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let sum = Op::Reduce(Reduce { function: Reduction::Sum, axes: vec![1], keep_dims: false });
        assert_eq!(evaluate(&sum, std::slice::from_ref(&matrix)).unwrap(), [6.0, 15.0]);
        let product = evaluate(&Op::MatMul(MatMul), &[matrix, tensor(&[3, 1], &[1.0, 0.0, -1.0])]).unwrap();
        assert_eq!(product, [-2.0, -2.0]);
        assert_eq!(evaluate(&Op::Activation(Activation::Relu), &[tensor(&[], &[-3.0])]).unwrap(), [0.0]);
        // [1, 2, 1, 3] lies in memory as [1, 1, 3, 2].
        let image = tensor(&[1, 2, 1, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let turned = evaluate(&Op::Transpose(Transpose { permutation: vec![0, 3, 2, 1] }), &[image]).unwrap();
        assert_eq!(turned, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert!(evaluate(&Op::MatMul(MatMul), &[tensor(&[2], &[1.0; 2]), tensor(&[3], &[1.0; 3])]).is_err());
    }
}
