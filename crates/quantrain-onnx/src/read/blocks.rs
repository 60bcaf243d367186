//! Weights whose scales belong to blocks of an axis: read as the floats that they stand for, and quantized anew.

use quantrain_graph::Note;

use super::array::{Array, Constant};
use super::matmul::multiply;
use super::node::{NodeReader, Operand, extent};
use super::number;
use crate::NodeError;

/// Codes and what they stand for, in blocks along one axis.
pub(super) struct Blocks<'a> {
    pub codes: &'a Array<i64>,
    pub scales: &'a Array<f32>,
    /// One for each scale.
    pub zero_points: &'a [f32],
    pub axis: usize,
    pub block: usize,
}

impl Blocks<'_> {
    /// `(q − z)·s`, in f32; `None` where the scales are not one for each block.
    pub fn values(&self) -> Option<Vec<f32>> {
        let mut shape = self.codes.shape.clone();
        let extent = shape.get_mut(self.axis)?;
        *extent = extent.div_ceil(self.block);
        if shape != self.scales.shape || self.zero_points.len() != self.scales.values.len() {
            return None;
        }
        let inner: usize = self.codes.shape.iter().skip(self.axis + 1).product();
        let (along, blocks) = (self.codes.shape[self.axis], shape[self.axis]);
        let of = |i: usize| (i / (inner * along) * blocks + i / inner % along / self.block) * inner + i % inner;
        let value = |(i, &q): (usize, &i64)| {
            let (zero, scale) = (self.zero_points.get(of(i))?, self.scales.values.get(of(i))?);
            Some((number::to_f32(q) - zero) * scale)
        };
        self.codes.values.iter().enumerate().map(value).collect()
    }
}

/// Says that a tensor is read as floats.
pub(super) fn note(node: &mut NodeReader, tensor: &str, block: usize) {
    node.model.builder.note([Note::BlocksAsFloats { tensor: tensor.into(), block }]);
}

/// `a·Bᵀ`, B of `[N, K]` in blocks along K, packed into bytes (com.microsoft's MatMulNBits).
pub(super) fn matmul_n_bits(node: &mut NodeReader) -> Result<(), NodeError> {
    let a = node.operand(0)?;
    let size = |node: &mut NodeReader, name| {
        let value = node.int(name)?.ok_or(NodeError::AttributeMissing { attribute: name })?;
        extent(name, value)
    };
    let (k, n, block) = (size(node, "K")?, size(node, "N")?, size(node, "block_size")?);
    let bits = node.int("bits")?.unwrap_or(4);
    node.int("accuracy_level")?;
    if !matches!(bits, 2 | 4 | 8) {
        return Err(NodeError::Value { what: "bits", found: bits.to_string(), expected: "2, 4 or 8".into() });
    }
    let bits = usize::try_from(bits).unwrap_or(8);
    let blocks = k.div_ceil(block);
    let wrong =
        |what| NodeError::Value { what, found: "another number of elements".into(), expected: format!("those of {n}x{blocks} blocks") };
    let name = node.input_name(1).unwrap_or_default().to_owned();
    let packed = fixed(node, 1)?.ok_or(NodeError::InputMissing { position: 1 })?;
    let codes = unpacked(&packed, bits, n, (blocks * block * bits).div_ceil(8), blocks * block).ok_or_else(|| wrong("B"))?;
    let mut scales = node.constant_floats(2)?.ok_or(NodeError::InputMissing { position: 2 })?;
    scales.shape = vec![n, blocks];
    let zero_points = match node.constant(3)? {
        None => vec![number::to_f32(1 << (bits - 1)); n * blocks],
        Some(Constant::Integers(_)) => {
            let packed = fixed(node, 3)?.unwrap_or_default();
            let zeros = unpacked(&packed, bits, n, (blocks * bits).div_ceil(8), blocks).ok_or_else(|| wrong("zero_points"))?;
            zeros.into_iter().map(number::to_f32).collect()
        }
        Some(Constant::Floats(zeros)) => zeros.values,
        Some(Constant::Reals(_)) => return Err(wrong("zero_points")),
    };
    node.spend(2 * n * blocks * block)?;
    let codes = Array { shape: vec![n, blocks * block], values: codes };
    let values =
        Blocks { codes: &codes, scales: &scales, zero_points: &zero_points, axis: 1, block }.values().ok_or_else(|| wrong("scales"))?;
    // Turned, without what fills the last block.
    let values = (0..k).flat_map(|column| values.iter().skip(column).step_by(blocks * block).copied()).collect();
    note(node, &name, block);
    let weights =
        Operand::Constant { name: node.invented(&format!("{name}.float")), value: Constant::Floats(Array { shape: vec![k, n], values }) };
    multiply(node, a, weights)
}

fn fixed(node: &mut NodeReader, position: usize) -> Result<Option<Vec<i64>>, NodeError> {
    node.constant_ints(position)
}

/// The first `count` codes of each of `rows` rows of `bytes` bytes, the lowest bits first.
fn unpacked(packed: &[i64], bits: usize, rows: usize, bytes: usize, count: usize) -> Option<Vec<i64>> {
    if packed.len() != rows.checked_mul(bytes)? {
        return None;
    }
    let codes = |row: &[i64]| {
        let each = row.iter().flat_map(|&byte| (0..8 / bits).map(move |i| byte >> (i * bits) & ((1 << bits) - 1)));
        each.take(count).collect::<Vec<i64>>()
    };
    Some(packed.chunks(bytes.max(1)).flat_map(codes).collect())
}
