//! The table of operators: the only place where one is registered. docs/operators.md is printed from it.

use super::node::NodeReader;
use super::{
    activation, constant, convolution, elementwise, identity, layout, logic, matmul, normalization, pooling, quantize, reduction, resize,
    shape,
};
use crate::NodeError;

/// An operator that [`crate::read`] knows.
pub struct Operator {
    /// ONNX's name.
    pub name: &'static str,
    /// First and last operator set in which it is read.
    pub opsets: (i64, i64),
    /// What becomes of it, and which of its forms are refused.
    pub notes: &'static str,
    pub(super) read: fn(&mut NodeReader) -> Result<(), NodeError>,
}

macro_rules! operators {
    ($($name:ident $first:literal..=$last:literal $reader:path, $notes:literal;)*) => {
        &[$(Operator { name: stringify!($name), opsets: ($first, $last), notes: $notes, read: $reader }),*]
    };
}

const OPERATORS: &[Operator] = operators! {
    Abs 9..=21 activation::abs, "";
    Add 9..=21 elementwise::add, "broadcasting; folded between constants";
    And 9..=21 logic::and, "constants and shapes only";
    ArgMax 9..=21 reduction::arg_max, "not the batch; its indices are floats, and derivative 0";
    AveragePool 9..=21 pooling::average_pool, "two-dimensional";
    BatchNormalization 9..=21 normalization::batch_normalization, "inference form";
    Cast 9..=21 shape::cast, "constants and shapes: FLOAT, INT32, INT64; activations: to floats, and of whole numbers to INT32 and INT64; all stay FLOAT";
    Ceil 9..=21 activation::ceil, "derivative 0";
    Celu 12..=21 activation::celu, "";
    Clip 9..=21 activation::clip, "limits constant";
    Concat 9..=21 layout::concat, "not along the batch";
    Constant 9..=21 constant::constant, "tensors, numbers and lists of them";
    ConstantOfShape 9..=21 shape::constant_of_shape, "shape constant";
    Conv 9..=21 convolution::conv, "two-dimensional: dense, grouped, depthwise; every auto_pad; weights constant";
    DepthToSpace 9..=21 layout::depth_to_space, "DCR and CRD";
    DequantizeLinear 10..=21 quantize::dequantize_linear, "of constants, and after a QuantizeLinear of the same scale; not in blocks";
    Div 9..=21 elementwise::div, "as Add";
    Dropout 9..=21 identity::dropout, "inference: Identity";
    Elu 9..=21 activation::elu, "";
    Equal 9..=21 logic::equal, "constants and shapes only";
    Erf 9..=21 activation::erf, "";
    Exp 9..=21 activation::exp, "";
    Expand 9..=21 layout::expand, "becomes Tile; shape constant, or computed from shapes";
    Flatten 9..=21 layout::flatten, "";
    Floor 9..=21 activation::floor, "derivative 0";
    Gather 9..=21 shape::gather, "indices constant; not along the batch";
    Gelu 20..=21 activation::gelu, "";
    Gemm 9..=21 matmul::gemm, "C constant, one value a column";
    GlobalAveragePool 9..=21 pooling::global_average_pool, "two-dimensional";
    Greater 9..=21 logic::greater, "constants and shapes only";
    GreaterOrEqual 12..=21 logic::greater_or_equal, "constants and shapes only";
    HardSigmoid 9..=21 activation::hard_sigmoid, "";
    HardSwish 14..=21 activation::hard_swish, "";
    Identity 9..=21 identity::identity, "";
    LeakyRelu 9..=21 activation::leaky_relu, "";
    Less 9..=21 logic::less, "constants and shapes only";
    LessOrEqual 12..=21 logic::less_or_equal, "constants and shapes only";
    Log 9..=21 activation::log, "";
    LogSoftmax 9..=21 reduction::log_softmax, "as Softmax";
    MatMul 9..=21 matmul::matmul, "at least two axes each";
    Max 9..=21 elementwise::max, "any number of operands, joined one by one";
    MaxPool 9..=21 pooling::max_pool, "two-dimensional; without Indices";
    Min 9..=21 elementwise::min, "as Max";
    Mish 18..=21 activation::mish, "";
    Mul 9..=21 elementwise::mul, "as Add";
    Neg 9..=21 activation::neg, "";
    Not 9..=21 logic::not, "constants and shapes only";
    Or 9..=21 logic::or, "constants and shapes only";
    PRelu 9..=21 elementwise::prelu, "slopes are not trained";
    Pad 9..=21 layout::pad, "constant, reflect, edge, wrap; none negative";
    Pow 9..=21 elementwise::pow, "";
    QuantizeLinear 10..=21 quantize::quantize_linear, "with its DequantizeLinear: FakeQuantize; not in blocks";
    Range 11..=21 shape::range, "constant integers";
    Reciprocal 9..=21 activation::reciprocal, "";
    ReduceL2 9..=21 reduction::reduce_l2, "as ReduceMean";
    ReduceMax 9..=21 reduction::reduce_max, "as ReduceMean; of equal values the first has the gradient";
    ReduceMean 9..=21 reduction::reduce_mean, "axes constant, not the batch";
    ReduceMin 9..=21 reduction::reduce_min, "as ReduceMax";
    ReduceSum 9..=21 reduction::reduce_sum, "as ReduceMean";
    Relu 9..=21 activation::relu, "";
    Reshape 9..=21 layout::reshape, "target constant, or computed from shapes";
    Resize 10..=21 resize::resize, "height and width; nearest and linear; scales or sizes constant";
    Round 11..=21 activation::round, "derivative 0";
    Selu 9..=21 activation::selu, "";
    Shape 9..=21 shape::shape, "folded, the batch size unknown";
    Sigmoid 9..=21 activation::sigmoid, "";
    Sign 9..=21 activation::sign, "derivative 0";
    Slice 9..=21 layout::slice, "limits constant";
    Softmax 9..=21 reduction::softmax, "not over the batch";
    Softplus 9..=21 activation::softplus, "";
    SpaceToDepth 9..=21 layout::space_to_depth, "";
    Sqrt 9..=21 activation::sqrt, "";
    Squeeze 9..=21 layout::squeeze, "becomes Reshape";
    Sub 9..=21 elementwise::sub, "as Add";
    Sum 9..=21 elementwise::sum, "becomes Add; any number of operands, joined one by one";
    Tanh 9..=21 activation::tanh, "";
    Tile 9..=21 layout::tile, "repeats constant; not along the batch";
    Transpose 9..=21 layout::transpose, "";
    Unsqueeze 9..=21 layout::unsqueeze, "becomes Reshape";
    Upsample 9..=9 resize::upsample, "becomes Resize; scales constant and at least 1";
    Where 9..=21 logic::choose, "constants and shapes only";
};

/// Every operator that is read, by name.
pub fn operators() -> &'static [Operator] {
    OPERATORS
}

/// The text of docs/operators.md.
pub fn operators_page() -> String {
    let mut page = String::from(
        "# Which ONNX operators can be read?\n\n\
         Those in the table, in files of operator sets 9 to 21 with float32 weights inside the file. Anything else is refused with an\n\
         error that names file, node and operator; so is an attribute that a reader does not know, since ignoring it would change results.\n\
         This page is printed from the table in `crates/quantrain-onnx/src/read/operators.rs`.\n\n\
         | operator | operator sets | notes |\n|---|---|---|\n",
    );
    for Operator { name, opsets: (first, last), notes, .. } in OPERATORS {
        let sets = if first == last { first.to_string() } else { format!("{first} to {last}") };
        page += &format!("| {name} | {sets} | {notes} |\n");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_sorted_by_name() {
        assert!(OPERATORS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn the_page_in_docs_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operators.md");
        if std::env::var_os("QUANTRAIN_UPDATE_DOCS").is_some() {
            std::fs::write(path, operators_page()).expect("docs can be written");
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(page, operators_page(), "run the test with QUANTRAIN_UPDATE_DOCS=1 to rewrite docs/operators.md");
    }
}
