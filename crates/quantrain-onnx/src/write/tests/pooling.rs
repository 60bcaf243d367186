//! Pools that integers compute otherwise stay in float.

use super::*;

#[test]
fn pools_that_integers_compute_otherwise_are_followed_by_a_sum_of_one() {
    let exported = |attributes: Vec<_>, opset| {
        let model = ModelFixture::new(opset, &[0, 4, 8, 8]).node("AveragePool", &["x"], "y", attributes);
        let net = prepared(model.read().unwrap(), Target::onnxruntime(), &Settings::default(), Range::new(-1.0, 1.0));
        operators(graph_of(&qdq(&net, &QdqOptions::default()))).join(" ")
    };
    let pool =
        |counts| vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), int("ceil_mode", 1), int("count_include_pad", counts)];
    let (before, after) = ("QuantizeLinear DequantizeLinear AveragePool", "QuantizeLinear DequantizeLinear");
    assert_eq!(exported(pool(0), 17), format!("{before} {after}"));
    assert_eq!(exported(pool(1), 17), format!("{before} Sum {after}"));
    assert_eq!(exported(vec![ints("kernel_shape", &[2, 2]), ints("dilations", &[2, 2])], 19), format!("{before} Sum {after}"));
}
