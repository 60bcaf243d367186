//! Tensors, buffers and operators on their way to a file.

use std::collections::HashMap;

use quantrain_graph::{KernelLibrary, TensorId};
use quantrain_integer::IntegerProgram;
use quantrain_integer::instruction::Grid;
use quantrain_lowering::memory_order::to_physical;

use crate::flatbuffer::{self, Table};
use crate::schema::{self, ElementType, Operator, Subgraph};
use crate::{TfliteError, operator};

/// What runtimes take at most.
const MOST_BYTES: usize = i32::MAX as usize;

/// The bytes of a file.
///
/// # Errors
/// The program is for a target with other arithmetic, or has an operator or a tensor that is not written.
pub fn write(program: &IntegerProgram) -> Result<Vec<u8>, TfliteError> {
    let target = program.quant_graph().target();
    if target.kernels().add == KernelLibrary::Mlas {
        return Err(TfliteError::Target { target: target.name().into() });
    }
    let mut writer = Writer::new(program);
    let graph = program.quant_graph().graph();
    let named = |writer: &mut Writer, tensors: &[TensorId]| -> Result<Vec<(String, i32)>, TfliteError> {
        tensors.iter().map(|&t| Ok((graph.tensor(t).name.clone(), writer.tensor(t)?))).collect()
    };
    let inputs = named(&mut writer, graph.inputs())?;
    for (unit, instruction) in program.instructions()?.iter().enumerate() {
        operator::write(&mut writer, unit, instruction)?;
    }
    let outputs = named(&mut writer, graph.outputs())?;
    if writer.bytes > MOST_BYTES {
        return Err(TfliteError::TooLarge { bytes: writer.bytes });
    }
    let subgraph = Subgraph { name: graph.name.clone(), tensors: writer.tensors, operators: writer.operators, inputs, outputs };
    let codes = writer.codes.into_iter().map(schema::operator_code).collect();
    Ok(flatbuffer::file(&schema::model(subgraph, codes, writer.buffers), schema::IDENTIFIER))
}

/// A file on its way.
pub(crate) struct Writer<'p> {
    pub program: &'p IntegerProgram,
    tensors: Vec<Table>,
    buffers: Vec<Table>,
    operators: Vec<Table>,
    /// Numbers and versions of the operators so far.
    codes: Vec<(i32, i32)>,
    of_tensor: HashMap<TensorId, i32>,
    bytes: usize,
}

/// Scales and zero points of a constant.
pub(crate) struct Scales {
    pub values: Vec<f32>,
    pub zero: i64,
    /// The axis they are along.
    pub axis: usize,
}

impl<'p> Writer<'p> {
    fn new(program: &'p IntegerProgram) -> Self {
        // Buffer 0 is empty by the format's rule.
        let (tensors, operators, codes) = (Vec::new(), Vec::new(), Vec::new());
        Writer { program, tensors, buffers: vec![schema::buffer(Vec::new())], operators, codes, of_tensor: HashMap::new(), bytes: 0 }
    }

    /// The extents of a tensor as it lies in memory.
    pub fn shape(&self, tensor: TensorId) -> Vec<usize> {
        to_physical(&self.program.quant_graph().graph().tensor(tensor).shape.at(1))
    }

    /// What a tensor's codes are.
    ///
    /// # Errors
    /// It has none, or others than those of a signed byte.
    pub fn grid(&self, tensor: TensorId) -> Result<Grid, TfliteError> {
        let refused = |reason| {
            let tensor = self.program.quant_graph().graph().tensor(tensor).name.clone();
            Err(TfliteError::Tensor { tensor, reason })
        };
        match self.program.grid(tensor) {
            None => refused("it stays in float, which is not written yet; let the target quantize it, outputs too"),
            Some(grid) if (grid.quantizer.qmin(), grid.quantizer.qmax()) != (-128, 127) => {
                refused("its codes are not those of a signed byte, at which TensorFlow Lite clamps; give it 8 bits")
            }
            Some(grid) => Ok(grid),
        }
    }

    /// The place of a tensor of the network.
    ///
    /// # Errors
    /// See [`Writer::grid`].
    pub fn tensor(&mut self, tensor: TensorId) -> Result<i32, TfliteError> {
        if let Some(place) = self.of_tensor.get(&tensor) {
            return Ok(*place);
        }
        let (grid, shape) = (self.grid(tensor)?, self.shape(tensor));
        let name = self.program.quant_graph().graph().tensor(tensor).name.clone();
        let place = self.codes_of(&name, &shape, &grid);
        self.of_tensor.insert(tensor, place);
        Ok(place)
    }

    /// A new tensor of codes that an operator writes.
    pub fn codes_of(&mut self, name: &str, shape: &[usize], grid: &Grid) -> i32 {
        let quantization = schema::quantization(vec![grid.scale()], vec![grid.quantizer.zero_point().into()], 0);
        self.push(schema::tensor(name, shape, ElementType::I8, 0, Some(quantization)))
    }

    /// A constant of bytes.
    pub fn bytes(&mut self, name: &str, shape: &[usize], codes: impl IntoIterator<Item = i32>, scales: Scales) -> i32 {
        let bytes: Vec<u8> = codes.into_iter().map(|code| code as i8 as u8).collect();
        self.constant(name, shape, ElementType::I8, bytes, Some(scales))
    }

    /// A constant of 32-bit integers.
    pub fn integers(&mut self, name: &str, shape: &[usize], values: &[i32], scales: Option<Scales>) -> i32 {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, shape, ElementType::I32, bytes, scales)
    }

    fn constant(&mut self, name: &str, shape: &[usize], element: ElementType, bytes: Vec<u8>, scales: Option<Scales>) -> i32 {
        self.bytes = self.bytes.saturating_add(bytes.len());
        let buffer = self.buffers.len();
        self.buffers.push(schema::buffer(bytes));
        let quantization = scales.map(|s| schema::quantization(s.values.clone(), vec![s.zero; s.values.len()], s.axis));
        self.push(schema::tensor(name, shape, element, buffer, quantization))
    }

    fn push(&mut self, tensor: Table) -> i32 {
        self.tensors.push(tensor);
        self.tensors.len() as i32 - 1
    }

    /// An operator that comes next.
    pub fn operator(&mut self, operator: &Operator, inputs: Vec<i32>, output: i32) {
        let code = operator.code();
        let place = self.codes.iter().position(|c| *c == code).unwrap_or_else(|| {
            self.codes.push(code);
            self.codes.len() - 1
        });
        self.operators.push(operator.table(place, inputs, output));
    }
}
