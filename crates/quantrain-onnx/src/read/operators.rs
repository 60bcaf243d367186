//! The table of operators: the only place where one is registered. docs/operators.md is printed from it.

use quantrain_graph::{Placement, Target};

use super::node::NodeReader;
use super::{
    activation, attention, cast, constant, control, convolution, einsum, elementwise, expand, identity, layout, logic, matmul,
    normalization, pooling, quantize, recurrent, reduction, resize, shape, split,
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
    Abs 7..=25 activation::abs, "";
    Add 7..=25 elementwise::add, "broadcasting; folded between constants";
    And 7..=25 logic::and, "as Equal";
    ArgMax 7..=25 reduction::arg_max, "not the batch; its indices are floats, and derivative 0";
    ArgMin 7..=25 reduction::arg_min, "Neg and ArgMax";
    Attention 23..=25 attention::attention, "becomes products, Mul, Add and Softmax; masks constant or added, without past keys; its first output only";
    AveragePool 7..=25 pooling::average_pool, "one or two spatial axes";
    BatchNormalization 7..=25 normalization::batch_normalization, "inference form; where no block takes it, an image gets a depthwise Conv of ones";
    Cast 7..=25 cast::cast, "between floats, integers and BOOL; activations stay FLOAT here, cut to whole numbers where they become integers";
    CastLike 15..=25 cast::cast_like, "as Cast to the type of the second input";
    Ceil 7..=25 activation::ceil, "derivative 0";
    Celu 12..=25 activation::celu, "";
    Clip 7..=25 activation::clip, "a limit that is computed makes it Max or Min; on codes: fewer codes";
    Concat 7..=25 layout::concat, "not along the batch; a constant among activations gets an Expand, one of one value at an end becomes Pad";
    Constant 7..=25 constant::constant, "tensors, numbers and lists of them";
    ConstantOfShape 9..=25 expand::constant_of_shape, "shape constant, or computed from shapes: then an Expand";
    Conv 7..=25 convolution::conv, "one or two spatial axes: dense, grouped, depthwise; every auto_pad; weights constant";
    ConvTranspose 7..=25 convolution::conv_transpose, "as Conv; output_padding, output_shape";
    Cos 7..=25 activation::cos, "";
    DepthToSpace 7..=25 layout::depth_to_space, "DCR and CRD";
    DequantizeLinear 10..=25 quantize::dequantize_linear, "of constants, and after a QuantizeLinear of the same scale; not in blocks";
    Div 7..=25 elementwise::div, "as Add";
    Dropout 7..=25 identity::dropout, "inference: Identity; without a mask";
    Einsum 12..=25 einsum::einsum, "one or two operands: Transpose, ReduceSum, and MatMul or Mul";
    Elu 7..=25 activation::elu, "";
    Equal 7..=25 logic::equal, "folded between constants; truths between activations are 0.0 or 1.0 here, BOOL in files";
    Erf 9..=25 activation::erf, "";
    Exp 7..=25 activation::exp, "";
    Expand 8..=25 expand::expand, "becomes Tile where it does not need the batch; shape constant, or computed from shapes";
    Flatten 7..=25 layout::flatten, "";
    Floor 7..=25 activation::floor, "derivative 0";
    GRU 7..=25 recurrent::gru, "as LSTM";
    Gather 7..=25 shape::gather, "not along the batch; indices constant, computed or fed: a table that these pick from is trained";
    Gelu 20..=25 activation::gelu, "";
    Gemm 7..=25 matmul::gemm, "with constant weights a block; else Transpose, MatMul, Mul and Add";
    GlobalAveragePool 7..=25 pooling::global_average_pool, "one or two spatial axes";
    GlobalMaxPool 7..=25 pooling::global_max_pool, "becomes MaxPool";
    Greater 7..=25 logic::greater, "as Equal";
    GreaterOrEqual 12..=25 logic::greater_or_equal, "as Equal";
    GroupNormalization 18..=25 normalization::group_normalization, "parameters constant; below operator set 21 exported as Reshape, InstanceNormalization, Reshape, Mul and Add";
    HardSigmoid 7..=25 activation::hard_sigmoid, "";
    HardSwish 14..=25 activation::hard_swish, "";
    Identity 7..=25 identity::identity, "";
    If 7..=25 control::branch, "condition constant, or computed from shapes; the nodes of the graph that is taken stand for it";
    InstanceNormalization 7..=25 normalization::instance_normalization, "parameters constant";
    IsInf 10..=25 logic::is_inf, "as Equal";
    IsNaN 9..=25 logic::is_nan, "as Equal";
    LRN 7..=25 normalization::lrn, "Mul, AveragePool over channels, Mul, Add, Pow and Div";
    LSTM 7..=25 recurrent::lstm, "both directions, peepholes; W, R, B, P and lengths constant; without clip and input_forget; layout 1 becomes Transposes";
    LayerNormalization 7..=25 normalization::layer_normalization, "below operator set 17 ONNX Runtime's own; parameters that do not fit are a Mul and an Add behind it; first output only";
    LeakyRelu 7..=25 activation::leaky_relu, "";
    Less 7..=25 logic::less, "as Equal";
    LessOrEqual 12..=25 logic::less_or_equal, "as Equal";
    Log 7..=25 activation::log, "";
    LogSoftmax 7..=25 reduction::log_softmax, "as Softmax";
    LpNormalization 7..=25 normalization::lp_normalization, "p 1 or 2: ReduceL2, or Abs and ReduceSum, and Div";
    MatMul 7..=25 matmul::matmul, "rows of an image that meet constant weights become one axis";
    Max 7..=25 elementwise::max, "any number of operands, joined one by one";
    MaxPool 7..=25 pooling::max_pool, "one or two spatial axes; without Indices";
    Mean 7..=25 elementwise::mean, "any number of operands: Add and Div";
    Min 7..=25 elementwise::min, "as Max";
    Mish 18..=25 activation::mish, "";
    Mod 10..=25 elementwise::modulo, "Div, Floor, Mul and Sub; folded between constants";
    Mul 7..=25 elementwise::mul, "as Add";
    Neg 7..=25 activation::neg, "";
    NonZero 9..=25 shape::non_zero, "of constants, folded";
    Not 7..=25 logic::not, "as Equal";
    Or 7..=25 logic::or, "as Equal";
    PRelu 7..=25 elementwise::prelu, "";
    Pad 7..=25 layout::pad, "constant, reflect, edge, wrap; what is negative is a Slice";
    Pow 7..=25 elementwise::pow, "";
    QuantizeLinear 10..=25 quantize::quantize_linear, "with its DequantizeLinear: FakeQuantize; not in blocks";
    RMSNormalization 23..=25 normalization::rms_normalization, "as LayerNormalization";
    RNN 7..=25 recurrent::rnn, "as LSTM";
    Range 11..=25 shape::range, "constant integers or floats";
    Reciprocal 7..=25 activation::reciprocal, "";
    ReduceL1 7..=25 reduction::reduce_l1, "Abs and ReduceSum";
    ReduceL2 7..=25 reduction::reduce_l2, "as ReduceMean";
    ReduceLogSum 7..=25 reduction::reduce_log_sum, "ReduceSum and Log";
    ReduceLogSumExp 7..=25 reduction::reduce_log_sum_exp, "ReduceMax, Sub, Exp, ReduceSum, Log and Add";
    ReduceMax 7..=25 reduction::reduce_max, "as ReduceMean; of equal values the first has the gradient";
    ReduceMean 7..=25 reduction::reduce_mean, "axes constant, not the batch";
    ReduceMin 7..=25 reduction::reduce_min, "as ReduceMax";
    ReduceProd 7..=25 reduction::reduce_prod, "as ReduceMean; of shapes, folded";
    ReduceSum 7..=25 reduction::reduce_sum, "as ReduceMean";
    ReduceSumSquare 7..=25 reduction::reduce_sum_square, "Mul and ReduceSum";
    Relu 7..=25 activation::relu, "";
    Reshape 7..=25 layout::reshape, "target constant, or computed from shapes";
    Resize 10..=25 resize::resize, "spatial axes; nearest, linear, cubic; scales or sizes constant; without antialias and cropping";
    Round 11..=25 activation::round, "derivative 0";
    Selu 7..=25 activation::selu, "";
    Shape 7..=25 shape::shape, "folded, the batch size unknown";
    Shrink 9..=25 activation::shrink, "";
    Sigmoid 7..=25 activation::sigmoid, "";
    Sign 9..=25 activation::sign, "derivative 0";
    SimplifiedLayerNormalization 7..=25 normalization::rms_normalization, "ONNX Runtime's name of RMSNormalization";
    Sin 7..=25 activation::sin, "";
    Size 7..=25 shape::size, "folded, the batch size unknown";
    Slice 7..=25 layout::slice, "limits constant";
    Softmax 7..=25 reduction::softmax, "not over the batch";
    Softplus 7..=25 activation::softplus, "";
    Softsign 7..=25 activation::softsign, "";
    SpaceToDepth 7..=25 layout::space_to_depth, "";
    Split 7..=25 split::split, "becomes one Slice for each output";
    Sqrt 7..=25 activation::sqrt, "";
    Squeeze 7..=25 layout::squeeze, "becomes Reshape";
    Sub 7..=25 elementwise::sub, "as Add";
    Sum 7..=25 elementwise::sum, "becomes Add; any number of operands, joined one by one";
    Swish 24..=25 activation::swish, "becomes Silu; with another alpha Mul and Sigmoid";
    Tanh 7..=25 activation::tanh, "";
    ThresholdedRelu 10..=25 activation::thresholded_relu, "";
    Tile 7..=25 expand::tile, "repeats constant; one for each sample: an Expand";
    Transpose 7..=25 layout::transpose, "";
    Trilu 14..=25 logic::trilu, "Where with a mask; folded between constants";
    Unsqueeze 7..=25 layout::unsqueeze, "becomes Reshape";
    Upsample 7..=9 resize::upsample, "becomes Resize; scales constant and at least 1";
    Where 9..=25 logic::choose, "folded between constants; the condition has no gradient";
    Xor 7..=25 logic::xor, "as Equal";
};

/// Every operator that is read, by name.
pub fn operators() -> &'static [Operator] {
    OPERATORS
}

/// The operator of nearly a name: in another case, or with two letters at most that differ.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let distance = |o: &&Operator| distance(&o.name.to_lowercase(), &name.to_lowercase());
    OPERATORS.iter().min_by_key(distance).filter(|o| distance(o) <= 2 && o.name.len() > 4).map(|o| o.name)
}

/// Letters to put in, take away or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(before + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Operators that the graph, and so an exported file, has under other names; nothing where they are folded while reading.
const BECOMES: &[(&str, &[&str])] = &[
    ("ArgMin", &["ArgMax"]),
    ("Attention", &["Transpose", "Reshape", "MatMul", "Mul", "Add", "Softmax"]),
    ("Cast", &["Identity"]),
    ("CastLike", &["Identity"]),
    ("Constant", &[]),
    ("ConstantOfShape", &[]),
    ("Dropout", &["Identity"]),
    ("Einsum", &["MatMul", "Mul"]),
    ("Expand", &["Expand", "Tile"]),
    ("GlobalMaxPool", &["MaxPool"]),
    ("If", &[]),
    ("LRN", &["Mul", "AveragePool", "Add", "Pow", "Div"]),
    ("LpNormalization", &["ReduceL2", "Div"]),
    ("Mean", &["Add", "Div"]),
    ("Mod", &["Div", "Floor", "Mul", "Sub"]),
    ("NonZero", &[]),
    ("Range", &[]),
    ("ReduceL1", &["Abs", "ReduceSum"]),
    ("ReduceLogSum", &["ReduceSum", "Log"]),
    ("ReduceLogSumExp", &["Exp", "ReduceSum", "Log"]),
    ("ReduceSumSquare", &["Mul", "ReduceSum"]),
    ("Shape", &[]),
    ("Size", &[]),
    ("SimplifiedLayerNormalization", &["RMSNormalization"]),
    ("Split", &["Slice"]),
    ("Squeeze", &["Reshape"]),
    ("Sum", &["Add"]),
    ("Swish", &["Sigmoid", "Mul"]),
    ("Trilu", &["Where"]),
    ("Unsqueeze", &["Reshape"]),
    ("Upsample", &["Resize"]),
];

/// Operators of the graph whose constants are trained.
const TRAINED: &[&str] = &[
    "BatchNormalization",
    "Conv",
    "ConvTranspose",
    "Gemm",
    "GRU",
    "GroupNormalization",
    "InstanceNormalization",
    "LSTM",
    "LayerNormalization",
    "MatMul",
    "PRelu",
    "RMSNormalization",
    "RNN",
];

/// Operators whose derivative is 0 everywhere it exists, or that have none.
const WITHOUT_GRADIENT: &[&str] = &[
    "And",
    "ArgMax",
    "Ceil",
    "Equal",
    "Floor",
    "Greater",
    "GreaterOrEqual",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "Not",
    "Or",
    "Round",
    "Sign",
    "Xor",
];

impl Operator {
    /// The names of its nodes in the graph and in exported files.
    fn becomes(&self) -> &[&'static str] {
        let known = BECOMES.iter().find(|(name, _)| *name == self.name);
        known.map_or(std::slice::from_ref(&self.name), |(_, names)| names)
    }

    /// What training does with it.
    fn trained(&self) -> &'static str {
        let all = |of: &[&str]| self.becomes().iter().all(|name| of.contains(name));
        match self.becomes() {
            [] => "",
            _ if all(TRAINED) => "parameters",
            _ if all(WITHOUT_GRADIENT) => "no gradient",
            _ => "gradient",
        }
    }

    /// What the built-in targets do with its output.
    fn simulated(&self) -> String {
        let rules = self.becomes().iter().flat_map(|&name| match name {
            "Resize" => vec!["Resize.nearest", "Resize.linear", "Resize.cubic"],
            name => vec![name],
        });
        let word = |target: &Target, rule: &str| match target.placement_of(rule) {
            Placement::Quantized => "quantized",
            Placement::Shared => "shares its inputs' quantizer",
            Placement::Carried => "carries its input's codes",
            Placement::Float => "float",
        };
        let targets: Vec<Target> = Target::names().filter_map(|name| Target::named(name).ok()).collect();
        let mut words: Vec<&str> = Vec::new();
        for rule in rules {
            for word in targets.iter().map(|target| word(target, rule)) {
                if !words.contains(&word) {
                    words.push(word);
                }
            }
        }
        words.join(", ")
    }
}

/// The text of docs/operators.md.
pub fn operators_page() -> String {
    let mut page = String::from(
        "# Which ONNX operators can be read, trained, simulated and exported?\n\n\
         Those in the table, in files of operator sets 7 to 25. Weights are FLOAT, DOUBLE, FLOAT16 or BFLOAT16, in the file or in one beside it,\n\
         and become float32. Anything else is refused with an error that names file, node and operator; so is an attribute that a reader\n\
         does not know, since ignoring it would change results. Imports of operator sets that no node uses are ignored.\n\
         This page is printed from the table in `crates/quantrain-onnx/src/read/operators.rs` and the rules of the built-in targets.\n\n\
         - trained: constants are *parameters*, or a *gradient* passes.\n\
         - simulated: what the built-in targets do with the output; what is *float* there runs in float, and `inspect` says so.\n\
         - exported: the operators of an exported file; *folded* ones are computed while reading.\n\n\
         | operator | operator sets | trained | simulated | exported | notes |\n|---|---|---|---|---|---|\n",
    );
    for operator in OPERATORS {
        let Operator { name, opsets: (first, last), notes, .. } = operator;
        let sets = if first == last { first.to_string() } else { format!("{first} to {last}") };
        let exported = if operator.becomes().is_empty() { "folded".to_owned() } else { operator.becomes().join(", ") };
        page += &format!("| {name} | {sets} | {} | {} | {exported} | {notes} |\n", operator.trained(), operator.simulated());
    }
    page += "\nOperators on integers are read as float ones between DequantizeLinear and QuantizeLinear, with the file's own numbers:\n\n";
    page += "| integer operator | read as |\n|---|---|\n";
    for (domain, name, becomes) in super::quantized::OPERATORS {
        let point = if domain.is_empty() { "" } else { "." };
        page += &format!("| `{domain}{point}{name}` | {becomes} |\n");
    }
    page +=
        "\n`com.microsoft.QuantizeLinear` and `com.microsoft.DequantizeLinear` are read as ONNX's own. Quantizers of QONNX files (domains ";
    page += &super::qonnx::DOMAINS.map(|domain| format!("`{domain}`")).join(", ");
    page += "):\n\n| operator | notes |\n|---|---|\n";
    for Operator { name, notes, .. } in super::qonnx::OPERATORS {
        page += &format!("| {name} | {notes} |\n");
    }
    page += "\nOperators into which ONNX Runtime's optimizer joins others (domain `com.microsoft`) are read as their parts:\n\n";
    page += "| operator | notes |\n|---|---|\n";
    for (name, becomes) in super::fused::EXPANDED {
        page += &format!("| {name} | {becomes} and its activation |\n");
    }
    for Operator { name, notes, .. } in super::microsoft::OPERATORS {
        page += &format!("| {name} | {notes} |\n");
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
    fn exceptions_are_operators_of_the_table() {
        let known = |name: &&str| OPERATORS.iter().any(|o| o.name == *name);
        let becomes = BECOMES.iter().flat_map(|(name, others)| std::iter::once(name).chain(others.iter()));
        assert!(becomes.chain(TRAINED).chain(WITHOUT_GRADIENT).all(known));
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
