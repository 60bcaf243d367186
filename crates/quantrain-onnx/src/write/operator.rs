//! Typed operators as ONNX nodes, in the forms of operator set 13 and later.

use quantrain_graph::op::{
    Binary, Coordinates, DepthOrder, Expand, Extent, FakeQuantize, Interpolation, NearestMode, Pad, PadMode, Reduce, Reduction, Reshape,
    Resize, ResizeTo, Slice, Softmax, Window,
};
use quantrain_graph::{Dim, Graph, Node, Op, Shape};

use super::chain::Chain;
use super::error::WriteError;
use super::model::{ModelWriter, float, int, ints, sizes, text};
use super::{NEWEST_UNASKED, OPERATOR_SETS};
use super::{activation, normalization, qdq, recurrent};
use crate::proto::{AttributeProto, data_type};

/// The operator set that a graph is written in: the one asked for, else its own or the first that has the forms written here.
///
/// # Errors
/// The one asked for does not have them all.
pub(super) fn opset(graph: &Graph, asked: Option<i64>) -> Result<i64, WriteError> {
    let needed = |node: &Node| match &node.op {
        Op::Resize(Resize { coordinates: Coordinates::HalfPixelSymmetric, .. }) => 19,
        Op::Pad(Pad { mode: PadMode::Wrap, .. }) => 19,
        Op::AveragePool(pool) if pool.window.dilations != [1, 1] => 19,
        Op::FakeQuantize(op) => op.quantizers.iter().map(|q| qdq::opset(qdq::activation_type(q))).max().unwrap_or(13),
        _ => 13,
    };
    let most = graph.nodes().iter().map(|node| (needed(node), node)).max_by_key(|(opset, _)| *opset);
    let asked_of = asked.unwrap_or(*OPERATOR_SETS.end());
    match most {
        Some((needed, node)) if needed > asked_of => {
            Err(WriteError::Opset { asked: asked_of, needed, what: format!("node `{}` ({})", node.name, node.op.name()) })
        }
        most => Ok(asked.unwrap_or(graph.opset.min(NEWEST_UNASKED).max(most.map_or(13, |(needed, _)| needed)))),
    }
}

/// Why some shapes cannot be written.
pub(super) const TWO_FREE: &str = "two extents depend on the batch";

/// Adds a node under a name, with inputs and output under names; `x` is the shape of the first input.
pub(super) fn write(w: &mut ModelWriter, node: &Node, x: &Shape, mut inputs: Vec<String>, output: &str) -> Result<(), WriteError> {
    let (name, op) = (node.name.as_str(), &node.op);
    let no_form = |reason| WriteError::NoForm { node: name.into(), operator: op.name(), reason };
    let attributes = match op {
        Op::Convolution(op) => [window(&op.window), vec![int("group", op.groups as i64)]].concat(),
        Op::ConvTranspose(op) => {
            [window(&op.window), vec![int("group", op.groups as i64), sizes("output_padding", &op.output_padding)]].concat()
        }
        Op::Gemm(op) => vec![
            float("alpha", op.alpha),
            float("beta", op.beta),
            int("transA", op.transpose_a.into()),
            int("transB", op.transpose_b.into()),
        ],
        Op::BatchNormalization(op) => vec![float("epsilon", op.epsilon), float("momentum", op.momentum)],
        Op::LayerNormalization(_) | Op::RmsNormalization(_) | Op::InstanceNormalization(_) | Op::GroupNormalization(_) => {
            return normalization::write(w, node, x, inputs, output);
        }
        Op::Recurrent(op) => return recurrent::write(w, node, op, inputs, output),
        Op::Activation(op) => {
            activation::write(w, name, op, inputs.swap_remove(0), output);
            return Ok(());
        }
        Op::Concat(op) => vec![int("axis", op.axis)],
        Op::MaxPool(op) => pool(&op.window),
        Op::AveragePool(op) => {
            let mut attributes = pool(&op.window);
            // The attribute exists from operator set 19 on, and ONNX Runtime's integer form of the operator does not know it.
            attributes.retain(|a| op.window.dilations != [1, 1] || a.name.as_deref() != Some("dilations"));
            attributes.push(int("count_include_pad", op.count_include_pad.into()));
            attributes
        }
        Op::Reduce(op) => reduce(w, name, op, &mut inputs),
        Op::ArgMax(op) => {
            let indices = w.fresh(&format!("{name}_indices"));
            let attributes = vec![int("axis", op.axis), int("keepdims", op.keep_dims.into()), int("select_last_index", op.last.into())];
            w.node("ArgMax", name, inputs, &indices, attributes);
            let cast = w.fresh(&format!("{name}_Cast"));
            w.node("Cast", &cast, vec![indices], output, vec![int("to", data_type::FLOAT.into())]);
            return Ok(());
        }
        Op::Softmax(op) if op.joined => {
            return joined_softmax(w, name, op, x, inputs, output).ok_or_else(|| no_form(TWO_FREE));
        }
        Op::Softmax(op) => vec![int("axis", op.axis)],
        Op::Slice(op) => slice(w, name, op, &mut inputs),
        Op::Pad(op) => pad(w, name, op, &mut inputs),
        Op::Resize(op) => resize(w, name, op, x, &mut inputs),
        Op::Reshape(op) => {
            let target = reshape_target(op, x).ok_or_else(|| no_form(TWO_FREE))?;
            inputs.push(w.integers(&format!("{name}.shape"), &target));
            Vec::new()
        }
        Op::Flatten(op) => vec![int("axis", op.axis)],
        Op::Transpose(op) => vec![sizes("perm", &op.permutation)],
        Op::DepthToSpace(op) => {
            let mode = match op.order {
                DepthOrder::BlockFirst => "DCR",
                DepthOrder::ChannelFirst => "CRD",
            };
            vec![int("blocksize", op.block as i64), text("mode", mode)]
        }
        Op::SpaceToDepth(op) => vec![int("blocksize", op.block as i64)],
        Op::Gather(op) => {
            let indices: Vec<i64> = op.indices.iter().map(|&i| i as i64).collect();
            inputs.push(w.integers(&format!("{name}.indices"), &indices));
            vec![int("axis", op.axis)]
        }
        Op::Lookup(op) => {
            if let Some(indices) = inputs.get_mut(1) {
                *indices = w.integer(std::mem::take(indices));
            }
            vec![int("axis", op.axis)]
        }
        Op::Tile(op) => {
            let repeats: Vec<i64> = op.repeats.iter().map(|&n| n as i64).collect();
            inputs.push(w.integers(&format!("{name}.repeats"), &repeats));
            Vec::new()
        }
        Op::Expand(op) => {
            inputs = expand(w, name, op, inputs).ok_or_else(|| no_form("two extents depend on the batch"))?;
            Vec::new()
        }
        Op::Binary(Binary::Relation(relation)) => {
            if relation.joins_truths() {
                inputs = inputs.into_iter().map(|input| w.truth(input)).collect();
            }
            w.truths(op.name(), name, inputs, output, Vec::new());
            return Ok(());
        }
        Op::Where(_) => {
            if let Some(condition) = inputs.first_mut() {
                *condition = w.truth(std::mem::take(condition));
            }
            Vec::new()
        }
        Op::MatMul(_) | Op::Binary(_) | Op::GlobalAveragePool(_) | Op::Identity => Vec::new(),
        Op::FakeQuantize(op) => return fake_quantize(w, name, op, inputs, output),
        Op::StraightThrough(_) => return Err(no_form("it is a function of the program that trains")),
        Op::Propagate(_) => return Err(no_form("it says how gradients flow, which files do not hold")),
    };
    w.node(op.name(), name, inputs, output, attributes);
    Ok(())
}

/// What an Expand repeats, and its shape: the batch is taken from the second input.
fn expand(w: &mut ModelWriter, name: &str, op: &Expand, mut inputs: Vec<String>) -> Option<Vec<String>> {
    let numbers = |dims: &[Dim]| dims.iter().map(|d| d.fixed().map(|n| n as i64)).collect::<Option<Vec<i64>>>();
    let batch = if inputs.len() > 1 { inputs.pop() } else { None };
    let shape = match op.to.0.iter().position(|d| d.fixed().is_none()) {
        None => w.integers(&format!("{name}.shape"), &numbers(&op.to.0)?),
        Some(axis) => {
            let samples = i64::try_from(op.to.0[axis].at(1)).ok()?;
            let parts = [&op.to.0[..axis], &op.to.0[axis + 1..]].map(numbers);
            let mut chain = Chain { w, name, output: "" };
            let extents = chain.step("Shape", vec![batch?], vec![]);
            let first = chain.w.integers(&format!("{name}.first"), &[0]);
            let mut size = chain.step("Gather", vec![extents, first], vec![int("axis", 0)]);
            if samples != 1 {
                let samples = chain.w.integers(&format!("{name}.samples"), &[samples]);
                size = chain.step("Mul", vec![size, samples], vec![]);
            }
            let [before, after] = parts.map(|part| part.map(|part| chain.w.integers(&format!("{name}.extents"), &part)));
            chain.step("Concat", vec![before?, size, after?], vec![int("axis", 0)])
        }
    };
    inputs.push(shape);
    Some(inputs)
}

fn window(window: &Window) -> Vec<AttributeProto> {
    vec![
        sizes("dilations", &window.dilations),
        sizes("kernel_shape", &window.kernel),
        sizes("pads", &window.pads),
        sizes("strides", &window.strides),
    ]
}

fn pool(w: &Window) -> Vec<AttributeProto> {
    [window(w), vec![int("ceil_mode", w.ceil.into())]].concat()
}

fn reduce(w: &mut ModelWriter, name: &str, op: &Reduce, inputs: &mut Vec<String>) -> Vec<AttributeProto> {
    let mut attributes = vec![int("keepdims", op.keep_dims.into())];
    if w.opset < 18 && op.function != Reduction::Sum {
        attributes.push(ints("axes", op.axes.iter().copied()));
    } else {
        inputs.push(w.integers(&format!("{name}.axes"), &op.axes));
    }
    attributes
}

/// Rows of all axes from one on, since operator set 13 by a Flatten before and a Reshape behind.
fn joined_softmax(w: &mut ModelWriter, name: &str, op: &Softmax, x: &Shape, inputs: Vec<String>, output: &str) -> Option<()> {
    let target = shape_of(x)?;
    let rows = w.fresh(&format!("{name}_Flatten"));
    w.node("Flatten", &rows, inputs, &rows, vec![int("axis", op.axis)]);
    let results = w.fresh(&format!("{name}_rows"));
    w.node(op.name(), name, vec![rows], &results, vec![int("axis", -1)]);
    let target = w.integers(&format!("{name}.shape"), &target);
    let reshape = w.fresh(&format!("{name}_Reshape"));
    w.node("Reshape", &reshape, vec![results, target], output, vec![]);
    Some(())
}

/// A shape as the target of a Reshape; `None` where two of its extents depend on the batch.
pub(super) fn shape_of(x: &Shape) -> Option<Vec<i64>> {
    let target: Vec<i64> = x.0.iter().map(|d| d.fixed().map_or(-1, |n| n as i64)).collect();
    (target.iter().filter(|&&n| n == -1).count() <= 1).then_some(target)
}

fn slice(w: &mut ModelWriter, name: &str, op: &Slice, inputs: &mut Vec<String>) -> Vec<AttributeProto> {
    for (what, values) in [("starts", &op.starts), ("ends", &op.ends), ("axes", &op.axes), ("steps", &op.steps)] {
        inputs.push(w.integers(&format!("{name}.{what}"), values));
    }
    Vec::new()
}

fn pad(w: &mut ModelWriter, name: &str, op: &Pad, inputs: &mut Vec<String>) -> Vec<AttributeProto> {
    let pads: Vec<i64> = op.pads.iter().map(|&p| p as i64).collect();
    inputs.push(w.integers(&format!("{name}.pads"), &pads));
    let mode = match op.mode {
        PadMode::Constant(value) => {
            inputs.push(w.floats(&format!("{name}.value"), &[], &[value]));
            "constant"
        }
        PadMode::Reflect => "reflect",
        PadMode::Edge => "edge",
        PadMode::Wrap => "wrap",
    };
    vec![text("mode", mode)]
}

fn resize(w: &mut ModelWriter, name: &str, op: &Resize, x: &Shape, inputs: &mut Vec<String>) -> Vec<AttributeProto> {
    let coordinates = match op.coordinates {
        Coordinates::HalfPixel => "half_pixel",
        Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
        Coordinates::Asymmetric => "asymmetric",
        Coordinates::AlignCorners => "align_corners",
        Coordinates::HalfPixelSymmetric => "half_pixel_symmetric",
    };
    let mut attributes = vec![text("coordinate_transformation_mode", coordinates)];
    match op.interpolation {
        Interpolation::Linear => attributes.push(text("mode", "linear")),
        Interpolation::Cubic { a, exclude_outside } => {
            attributes.extend([text("mode", "cubic"), float("cubic_coeff_a", a), int("exclude_outside", exclude_outside.into())]);
        }
        Interpolation::Nearest(mode) => {
            let mode = match mode {
                NearestMode::RoundPreferFloor => "round_prefer_floor",
                NearestMode::RoundPreferCeil => "round_prefer_ceil",
                NearestMode::Floor => "floor",
                NearestMode::Ceil => "ceil",
            };
            attributes.extend([text("mode", "nearest"), text("nearest_mode", mode)]);
        }
    }
    inputs.push(String::new());
    match op.to {
        ResizeTo::Scales([h, v]) => inputs.push(w.floats(&format!("{name}.scales"), &[4], &[1.0, 1.0, h, v])),
        ResizeTo::Sizes(sizes) => {
            let sizes = whole_sizes(w, name, sizes, x, &inputs[0]);
            inputs.extend([String::new(), sizes]);
        }
    }
    attributes
}

/// The sizes of all four axes: ONNX Runtime's optimizer fails on the attribute `axes`. A free batch is that of the input.
fn whole_sizes(w: &mut ModelWriter, name: &str, sizes: [usize; 2], x: &Shape, input: &str) -> String {
    let spatial = sizes.map(|n| n as i64);
    let leading: Option<Vec<i64>> = x.0.iter().take(2).map(|d| d.fixed().map(|n| n as i64)).collect();
    if let Some(leading) = leading {
        return w.integers(&format!("{name}.sizes"), &[leading, spatial.into()].concat());
    }
    let spatial = w.integers(&format!("{name}.spatial"), &spatial);
    let [shape, leading, sizes] = ["shape", "leading", "sizes"].map(|what| w.fresh(&format!("{name}.{what}")));
    let (first, last) = (w.integers(&format!("{name}.first"), &[0]), w.integers(&format!("{name}.last"), &[2]));
    w.node("Shape", &shape, vec![input.to_owned()], &shape, vec![]);
    w.node("Slice", &leading, vec![shape.clone(), first, last], &leading, vec![]);
    w.node("Concat", &sizes, vec![leading.clone(), spatial], &sizes, vec![int("axis", 0)]);
    sizes
}

/// 0 copies, −1 infers; an extent that depends on the batch must be one of them.
fn reshape_target(op: &Reshape, x: &Shape) -> Option<Vec<i64>> {
    let mut inferred = op.extents.contains(&Extent::Infer);
    let target = op.extents.iter().enumerate().map(|(i, extent)| match extent {
        Extent::Copy => Some(0),
        Extent::Infer => Some(-1),
        Extent::Is(Dim::Fixed(n)) => Some(*n as i64),
        Extent::Is(dim @ Dim::Batch(_)) if x.0.get(i) == Some(dim) => Some(0),
        Extent::Is(Dim::Batch(_)) => (!std::mem::replace(&mut inferred, true)).then_some(-1),
    });
    target.collect()
}

fn fake_quantize(w: &mut ModelWriter, name: &str, op: &FakeQuantize, mut inputs: Vec<String>, output: &str) -> Result<(), WriteError> {
    let uniform = op.quantizers.windows(2).all(|q| (q[0].qmin(), q[0].qmax()) == (q[1].qmin(), q[1].qmax()));
    let narrow = op.quantizers.first().is_some_and(qdq::is_narrow);
    if !uniform || narrow && op.quantizers.len() > 1 {
        let reason = "several channels whose codes are narrower than 8 bits";
        return Err(WriteError::NoForm { node: name.into(), operator: "FakeQuantize", reason });
    }
    let input = inputs.swap_remove(0);
    qdq::write_pair(w, name, name, &op.quantizers, input, output);
    Ok(())
}
