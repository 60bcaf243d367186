//! What a caller hands over and gets: codes of inputs and outputs by their own types.

use quantrain_graph::TensorId;
use quantrain_integer::IntegerProgram;
use quantrain_integer::instruction::{Grid, Kind};

use crate::CError;
use crate::memory::{Place, Value};
use crate::text::{comment, float, identifiers};

/// An input or an output.
pub(crate) struct Border {
    pub tensor: TensorId,
    /// The identifier of its parameter.
    pub name: String,
    /// Its name in the file, and its extents as they lie in memory.
    pub title: String,
    pub grid: Option<Grid>,
    pub count: usize,
}

/// Inputs, then outputs.
pub(crate) fn borders(program: &IntegerProgram) -> Result<[Vec<Border>; 2], CError> {
    let graph = program.quant_graph().graph();
    let both = || graph.inputs().iter().chain(graph.outputs());
    let mut names = identifiers(both().map(|&t| graph.tensor(t).name.as_str())).into_iter();
    let mut border = |what: &'static str, tensor: TensorId| {
        let (grid, shape) = (program.grid(tensor), graph.tensor(tensor).shape.at(1));
        let refused = |reason| CError::Border { what, tensor: graph.tensor(tensor).name.clone(), reason };
        if grid.is_some_and(|g| g.kind != Kind::Bytes) {
            return Err(refused("codes of 16 bits have no C form yet; give it 8"));
        }
        if what == "input" && grid.is_none() {
            return Err(refused("it stays in float, and so does what reads it; let the target quantize inputs"));
        }
        let extents = match shape[..] {
            [1, c, h, w] => format!("{h} x {w} x {c}: rows, columns, channels"),
            _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x "),
        };
        let title = format!("{}, {extents}", comment(&graph.tensor(tensor).name));
        Ok(Border { tensor, name: names.next().unwrap_or_default(), title, grid, count: shape.iter().product() })
    };
    let inputs = graph.inputs().iter().map(|&t| border("input", t)).collect::<Result<_, _>>()?;
    let outputs: Vec<Border> = graph.outputs().iter().map(|&t| border("output", t)).collect::<Result<_, _>>()?;
    for (i, output) in outputs.iter().enumerate() {
        if outputs[..i].iter().any(|o| o.tensor == output.tensor) || graph.inputs().contains(&output.tensor) {
            let (tensor, reason) = (graph.tensor(output.tensor).name.clone(), "it is an input or another output as it is; read that");
            return Err(CError::Border { what: "output", tensor, reason });
        }
    }
    Ok([inputs, outputs])
}

impl Border {
    /// Signed codes are held plus 128 inside.
    pub fn is_signed(&self) -> bool {
        self.grid.is_some_and(|g| g.offset() != 0)
    }

    /// The C type of an element.
    pub fn kind(&self) -> &'static str {
        match self.grid {
            None => "float",
            Some(_) if self.is_signed() => "int8_t",
            Some(_) => "uint8_t",
        }
    }

    /// Bytes at the caller's.
    pub fn bytes(&self) -> usize {
        self.count * if self.grid.is_some() { 1 } else { 4 }
    }

    /// How memory is to hold it; `place` is the caller's.
    pub fn value(&self, place: Place) -> Value {
        let is_input = matches!(place, Place::Input(_));
        let fixed = (!self.is_signed()).then_some(place);
        Value { bytes: self.bytes(), fixed, given: is_input, kept: !is_input }
    }

    /// Lines of the header that say what its elements are.
    pub fn describe(&self, prefix: &str) -> String {
        let prefix = format!("{prefix}_{}", self.name.to_uppercase());
        let mut lines = format!("/* {} */\n#define {prefix}_COUNT {}\n", self.title, self.count);
        if let Some(grid) = self.grid {
            let (scale, zero) = (float(grid.scale()), grid.quantizer.zero_point());
            lines += &format!("/* real = ({prefix}_SCALE) * (code - ({prefix}_ZERO)) */\n");
            lines += &format!("#define {prefix}_SCALE {scale}\n#define {prefix}_ZERO {zero}\n");
        }
        lines
    }
}
