//! The parts of TensorFlow Lite's schema (version 3, `tflite/converter/schema/schema.fbs`) that are written here: numbers of fields, of operators
//! and of their options.

use crate::flatbuffer::{Table, Value};

/// The identifier of a file.
pub(crate) const IDENTIFIER: &[u8; 4] = b"TFL3";

/// Types of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ElementType {
    I32 = 2,
    I8 = 9,
}

/// What an operator does with its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fused {
    Nothing = 0,
    Relu = 1,
    ReluN1To1 = 2,
    Relu6 = 3,
}

/// Zeros around an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    Same = 0,
    Valid = 1,
}

/// The operators that are written, with their options.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operator {
    Add(Fused),
    AveragePool(Window),
    Concatenation { axis: i32 },
    Conv { window: Window },
    DepthwiseConv { window: Window, multiplier: i32 },
    FullyConnected { fused: Fused, keeps_axes: bool },
    MaxPool(Window),
    Mean { keeps_axes: bool },
    Pad,
    PadWith,
    Reshape(Vec<i32>),
    Resize { align_corners: bool, half_pixel: bool },
    StridedSlice,
    Transpose,
}

/// A window that goes over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub padding: Padding,
    /// Height, width.
    pub stride: [i32; 2],
    pub dilation: [i32; 2],
    pub kernel: [i32; 2],
    pub fused: Fused,
}

fn byte(value: impl Into<i32>) -> Value {
    Value::Byte(value.into() as i8)
}

impl From<Fused> for i32 {
    fn from(fused: Fused) -> i32 {
        fused as i32
    }
}

impl From<Padding> for i32 {
    fn from(padding: Padding) -> i32 {
        padding as i32
    }
}

impl Operator {
    /// Its number, and the version that has codes of 8 bits and what is used of it.
    pub fn code(&self) -> (i32, i32) {
        match self {
            Operator::Add(_) => (0, 2),
            Operator::AveragePool(_) => (1, 2),
            Operator::Concatenation { .. } => (2, 2),
            Operator::Conv { .. } => (3, 3),
            Operator::DepthwiseConv { .. } => (4, 3),
            Operator::FullyConnected { .. } => (9, 12),
            Operator::MaxPool(_) => (17, 2),
            Operator::Reshape(_) => (22, 1),
            Operator::Pad => (34, 2),
            Operator::Transpose => (39, 2),
            Operator::Mean { .. } => (40, 2),
            Operator::StridedSlice => (45, 2),
            Operator::PadWith => (60, 2),
            Operator::Resize { .. } => (97, 3),
        }
    }

    /// The number of its options' type, and they.
    pub fn options(&self) -> (i8, Table) {
        let int = |slot: usize, value: i32| (slot, Value::Int(value));
        let flag = |slot: usize, value: bool| (slot, byte(value));
        match self {
            Operator::Conv { window: w } => (
                1,
                Table::new([
                    (0, byte(w.padding)),
                    int(1, w.stride[1]),
                    int(2, w.stride[0]),
                    (3, byte(w.fused)),
                    int(4, w.dilation[1]),
                    int(5, w.dilation[0]),
                ]),
            ),
            Operator::DepthwiseConv { window: w, multiplier } => (
                2,
                Table::new([
                    (0, byte(w.padding)),
                    int(1, w.stride[1]),
                    int(2, w.stride[0]),
                    int(3, *multiplier),
                    (4, byte(w.fused)),
                    int(5, w.dilation[1]),
                    int(6, w.dilation[0]),
                ]),
            ),
            Operator::AveragePool(w) | Operator::MaxPool(w) => (
                5,
                Table::new([
                    (0, byte(w.padding)),
                    int(1, w.stride[1]),
                    int(2, w.stride[0]),
                    int(3, w.kernel[1]),
                    int(4, w.kernel[0]),
                    (5, byte(w.fused)),
                ]),
            ),
            Operator::FullyConnected { fused, keeps_axes } => (8, Table::new([(0, byte(*fused)), flag(2, *keeps_axes)])),
            Operator::Concatenation { axis } => (10, Table::new([int(0, *axis)])),
            Operator::Add(fused) => (11, Table::new([(0, byte(*fused))])),
            Operator::Reshape(shape) => (17, Table::new([(0, Value::Ints(shape.clone()))])),
            Operator::Pad => (22, Table::default()),
            Operator::Transpose => (26, Table::default()),
            Operator::Mean { keeps_axes } => (27, Table::new([flag(0, *keeps_axes)])),
            Operator::StridedSlice => (32, Table::default()),
            Operator::PadWith => (43, Table::default()),
            Operator::Resize { align_corners, half_pixel } => (74, Table::new([flag(0, *align_corners), flag(1, *half_pixel)])),
        }
    }

    /// An entry of the list of operators.
    pub fn table(&self, code: usize, inputs: Vec<i32>, output: i32) -> Table {
        let (kind, options) = self.options();
        Table::new([
            (0, Value::Int(code as i32)),
            (1, Value::Ints(inputs)),
            (2, Value::Ints(vec![output])),
            (3, Value::Byte(kind)),
            (4, Value::Table(options)),
        ])
    }
}

/// An entry of the list of operators' kinds. Numbers beyond 127 would have 127 in the old field.
pub(crate) fn operator_code((code, version): (i32, i32)) -> Table {
    Table::new([(0, byte(code.min(127))), (2, Value::Int(version)), (3, Value::Int(code))])
}

/// Scales and zero points along an axis.
pub(crate) fn quantization(scales: Vec<f32>, zeros: Vec<i64>, axis: usize) -> Table {
    Table::new([(2, Value::Floats(scales)), (3, Value::Longs(zeros)), (6, Value::Int(axis as i32))])
}

/// A tensor; its bytes are those of a buffer.
pub(crate) fn tensor(name: &str, shape: &[usize], element: ElementType, buffer: usize, quantization: Option<Table>) -> Table {
    let shape = shape.iter().map(|&n| n as i32).collect();
    let quantization = quantization.map(|q| (4, Value::Table(q)));
    let fields = [
        (0, Value::Ints(shape)),
        (1, Value::Byte(element as i8)),
        (2, Value::Int(buffer as i32)),
        (3, Value::Text(name.into())),
        (8, byte(true)),
    ];
    Table::new(fields.into_iter().chain(quantization))
}

/// Bytes of a constant; those of what is computed are none.
pub(crate) fn buffer(bytes: Vec<u8>) -> Table {
    Table::new((!bytes.is_empty()).then_some((0, Value::Bytes(bytes))))
}

/// A network, and by which names it is called.
pub(crate) struct Subgraph {
    pub name: String,
    pub tensors: Vec<Table>,
    pub operators: Vec<Table>,
    pub inputs: Vec<(String, i32)>,
    pub outputs: Vec<(String, i32)>,
}

/// A whole file.
pub(crate) fn model(graph: Subgraph, codes: Vec<Table>, buffers: Vec<Table>) -> Table {
    let places = |list: &[(String, i32)]| Value::Ints(list.iter().map(|(_, tensor)| *tensor).collect());
    let map = |(name, tensor): &(String, i32)| Table::new([(0, Value::Text(name.clone())), (1, Value::Int(*tensor))]);
    let maps = |list: &[(String, i32)]| Value::Tables(list.iter().map(map).collect());
    let signature =
        Table::new([(0, maps(&graph.inputs)), (1, maps(&graph.outputs)), (2, Value::Text("serving_default".into())), (4, Value::Int(0))]);
    let subgraph = Table::new([
        (1, places(&graph.inputs)),
        (2, places(&graph.outputs)),
        (0, Value::Tables(graph.tensors)),
        (3, Value::Tables(graph.operators)),
        (4, Value::Text(graph.name)),
    ]);
    Table::new([
        (0, Value::Int(3)),
        (1, Value::Tables(codes)),
        (2, Value::Tables(vec![subgraph])),
        (3, Value::Text("written by Quantrain".into())),
        (4, Value::Tables(buffers)),
        (7, Value::Tables(vec![signature])),
    ])
}
