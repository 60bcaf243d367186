//! The text of both files.

use quantrain_graph::TensorId;
use quantrain_integer::IntegerProgram;
use quantrain_integer::instruction::Kind;

use crate::border::{Border, borders};
use crate::footprint::Footprint;
use crate::fuse::{Unit, fuse};
use crate::memory::{Memory, Place, Step, Value};
use crate::part::{Part, in_order, text};
use crate::statement::{self, Statement};
use crate::text::{comment, identifier};
use crate::{CError, CFiles};

/// Elements that 32-bit integers count, with room for sums of places.
const MOST_BYTES: usize = 1 << 30;

/// Prints a program as the files `NAME.c` and `NAME.h`.
///
/// # Errors
/// A node, an input or an output has no C form.
pub fn print(program: &IntegerProgram, name: &str) -> Result<CFiles, CError> {
    let printer = Printer::new(program, identifier(name))?;
    let parts = printer.parts();
    let footprint = printer.footprint(&parts);
    Ok(CFiles { header: printer.header(&footprint), source: printer.source(&parts, &footprint), name: printer.name, footprint })
}

/// What the C files of a program would take, without their text.
///
/// # Errors
/// As [`print()`].
pub fn footprint(program: &IntegerProgram) -> Result<Footprint, CError> {
    let printer = Printer::new(program, String::new())?;
    Ok(printer.footprint(&printer.parts()))
}

/// The statement of a unit, if its tensors are bytes.
fn of_unit(program: &IntegerProgram, unit: &Unit, n: usize, outputs: &[Border]) -> Result<Statement, CError> {
    let instruction = &unit.instruction;
    let refused = |reason: String| CError::Node { node: instruction.node.clone(), operator: instruction.operator, reason };
    let statement = statement::of(unit, n).map_err(refused)?;
    let name = |t: TensorId| &program.quant_graph().graph().tensor(t).name;
    for &tensor in instruction.inputs.iter().chain([&instruction.output]) {
        let is_output = outputs.iter().any(|o| o.tensor == tensor) && tensor == instruction.output;
        match program.grid(tensor).map(|g| g.kind) {
            Some(Kind::Bytes) => {}
            None if is_output => {}
            Some(_) => return Err(refused(format!("codes of `{}` have 16 bits; give it 8", name(tensor)))),
            None => return Err(refused(format!("`{}` stays in float; quantize it, or end the network there", name(tensor)))),
        }
    }
    Ok(statement)
}

fn memory(program: &IntegerProgram, units: &[Unit], statements: &[Statement], [inputs, outputs]: [&[Border]; 2]) -> Result<Memory, CError> {
    let tensors = program.quant_graph().graph().tensors();
    let mut values: Vec<Option<Value>> = vec![None; tensors.len()];
    for unit in units {
        let output = unit.instruction.output;
        let bytes = tensors[output.0].shape.elements(1);
        values[output.0] = Some(Value { bytes, fixed: None, given: false, kept: false });
    }
    inputs.iter().enumerate().for_each(|(i, b)| values[b.tensor.0] = Some(b.value(Place::Input(i))));
    outputs.iter().enumerate().for_each(|(i, b)| values[b.tensor.0] = Some(b.value(Place::Output(i))));
    let bytes = values.iter().flatten().map(|v| v.bytes).fold(0, usize::saturating_add);
    if bytes > MOST_BYTES {
        return Err(CError::TooLarge { bytes });
    }
    let step = |(unit, statement): (&Unit, &Statement)| Step {
        inputs: unit.instruction.inputs.clone(),
        output: unit.instruction.output,
        scratch: statement.scratch,
        over: statement.over,
    };
    Ok(Memory::plan(&values, &units.iter().zip(statements).map(step).collect::<Vec<_>>()))
}

struct Printer<'p> {
    program: &'p IntegerProgram,
    name: String,
    inputs: Vec<Border>,
    outputs: Vec<Border>,
    units: Vec<Unit>,
    statements: Vec<Statement>,
    memory: Memory,
}

impl<'p> Printer<'p> {
    fn new(program: &'p IntegerProgram, name: String) -> Result<Self, CError> {
        let [inputs, outputs] = borders(program)?;
        let border: Vec<_> = inputs.iter().chain(&outputs).map(|b| b.tensor).collect();
        let units = fuse(program.instructions()?, &border);
        let statements = units.iter().enumerate().map(|(n, unit)| of_unit(program, unit, n, &outputs)).collect::<Result<Vec<_>, _>>()?;
        let memory = memory(program, &units, &statements, [&inputs, &outputs])?;
        Ok(Printer { program, name, inputs, outputs, units, statements, memory })
    }

    fn parts(&self) -> Vec<Part> {
        let needed = self.statements.iter().zip(&self.memory.nothing_to_do).filter(|(_, nothing)| !**nothing);
        let flips = self.inputs.iter().chain(&self.outputs).any(Border::is_signed);
        in_order(needed.flat_map(|(s, _)| s.parts.iter().copied()).chain(flips.then_some(Part::Flip)))
    }

    fn footprint(&self, parts: &[Part]) -> Footprint {
        let constants = || self.statements.iter().flat_map(|s| &s.constants);
        let (graph, units) = (self.program.quant_graph().graph(), self.program.quant_graph().units());
        Footprint {
            ram: self.memory.arena,
            ram_bound: self.memory.bound,
            border: self.inputs.iter().chain(&self.outputs).map(Border::bytes).sum(),
            flash: constants().map(|c| c.bytes).sum(),
            weights: constants().filter(|c| c.is_weights).map(|c| c.bytes).sum(),
            multiply_accumulates: units.iter().map(|u| graph.multiply_accumulates(u.core)).sum(),
            floats: parts.contains(&Part::Limit),
        }
    }

    /// What both files begin with.
    fn title(&self, footprint: &Footprint) -> String {
        let net = self.program.quant_graph();
        format!(
            "/* {}, in integers as the target {} computes them. Written by quantrain {}.\n   {footprint}. */\n",
            comment(&net.graph().name),
            comment(net.target().name()),
            env!("CARGO_PKG_VERSION"),
        )
    }

    fn parameters(&self, name: impl Fn(&Border, usize) -> String) -> String {
        let inputs = self.inputs.iter().enumerate().map(|(i, b)| format!("const {} *{}", b.kind(), name(b, i)));
        let outputs = self.outputs.iter().enumerate().map(|(i, b)| format!("{} *{}", b.kind(), name(b, self.inputs.len() + i)));
        inputs.chain(outputs).collect::<Vec<_>>().join(", ")
    }

    fn header(&self, footprint: &Footprint) -> String {
        let (name, upper) = (&self.name, self.name.to_uppercase());
        let describe = |borders: &[Border]| borders.iter().map(|b| b.describe(&upper) + "\n").collect::<String>();
        let passed = self.program.quant_graph().graph().passed.iter();
        let passed: String =
            passed.map(|p| format!("/* The output {} is not computed: it is a constant or an input. */\n", comment(&p.name))).collect();
        format!(
            "{}#ifndef {upper}_H\n#define {upper}_H\n\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n\
             /* Inputs */\n{}/* Outputs */\n{}{passed}\
             /* Bytes of memory that {name}.c holds while it runs. */\n#define {upper}_RAM {}\n\n\
             /* Runs one sample. Returns 0; 1 where a pointer is NULL. Not to be called again before it has returned. */\n\
             int {name}_run({});\n\n#ifdef __cplusplus\n}}\n#endif\n\n#endif\n",
            self.title(footprint),
            describe(&self.inputs),
            describe(&self.outputs),
            self.memory.arena,
            self.parameters(|border, _| border.name.clone()),
        )
    }

    fn source(&self, parts: &[Part], footprint: &Footprint) -> String {
        let (name, upper) = (&self.name, self.name.to_uppercase());
        let mut source = format!("{}#include \"{name}.h\"\n\n", self.title(footprint));
        source += &INCLUDES.replace("@floats@", if footprint.floats { FLOATS } else { "" });
        if self.memory.arena > 0 {
            source += &ARENA.replace("@NAME@", &upper);
        }
        source += &text(parts);
        for (statement, nothing_to_do) in self.statements.iter().zip(&self.memory.nothing_to_do) {
            let constants = statement.constants.iter().filter(|_| !nothing_to_do);
            source.extend(constants.map(|c| c.text() + "\n"));
        }
        let pointer = |_: &Border, i: usize| self.pointer(i);
        source += &format!("int {name}_run({})\n{{\n", self.parameters(pointer));
        let pointers = (0..self.inputs.len() + self.outputs.len()).map(|i| format!("{} == NULL", self.pointer(i)));
        source += &format!("    if ({}) {{\n        return 1;\n    }}\n", pointers.collect::<Vec<_>>().join(" || "));
        source += &self.calls();
        source + "    return 0;\n}\n"
    }

    /// The parameter of an input, or of an output behind all inputs, by names that no function has.
    fn pointer(&self, i: usize) -> String {
        i.checked_sub(self.inputs.len()).map_or_else(|| format!("input_{i}"), |i| format!("output_{i}"))
    }

    fn expression(&self, place: Option<Place>) -> String {
        match place {
            Some(Place::Input(i)) => self.pointer(i),
            Some(Place::Output(i)) => self.pointer(self.inputs.len() + i),
            Some(Place::Arena(0)) | None => "arena".into(),
            Some(Place::Arena(at)) => format!("(arena + {at})"),
        }
    }

    fn calls(&self) -> String {
        let place = |tensor| self.expression(self.memory.place(tensor));
        let mut calls = String::new();
        for (i, border) in self.inputs.iter().enumerate().filter(|(_, b)| b.is_signed()) {
            calls += &format!("    flip({}, {}, {});\n", self.pointer(i), place(border.tensor), border.count);
        }
        for (at, (unit, statement)) in self.units.iter().zip(&self.statements).enumerate() {
            let instruction = &unit.instruction;
            let sum = unit.sum.as_ref().map_or(String::new(), |sum| format!(", then {} (Add)", comment(&sum.node)));
            calls += &format!("    /* {} ({}){sum} */\n", comment(&instruction.node), instruction.operator);
            if self.memory.nothing_to_do[at] {
                continue;
            }
            let mut call = statement.call.replace("{y}", &place(instruction.output));
            for (i, &input) in instruction.inputs.iter().enumerate() {
                call = call.replace(&format!("{{x{i}}}"), &place(input));
            }
            let scratch = if statement.scratch > 0 { self.expression(Some(Place::Arena(self.memory.scratch[at]))) } else { "NULL".into() };
            calls += &format!("    {}\n", call.replace("{scratch}", &scratch));
        }
        for (i, border) in self.outputs.iter().enumerate().filter(|(_, b)| b.is_signed()) {
            calls += &format!("    flip({}, {}, {});\n", place(border.tensor), self.pointer(self.inputs.len() + i), border.count);
        }
        calls
    }
}

const INCLUDES: &str = "\
#include <stddef.h>
#include <string.h>
@floats@
";

/// Each operation on floats must round once, to 32 bits.
const FLOATS: &str = r#"#include <float.h>
#include <math.h>

/* 16: half floats have their own width, and so has every other kind. */
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "floats are held in more than 32 bits here: compile with -msse2 -mfpmath=sse"
#endif
#ifdef __FAST_MATH__
#error "-ffast-math changes codes: compile this file without it"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif
"#;

const ARENA: &str = "\
/* Where the arena lies, if not with other variables: say it on the command line, as in
   -D@NAME@_ARENA='__attribute__((section(\".fast\")))'. */
#ifndef @NAME@_ARENA
#define @NAME@_ARENA
#endif
static uint8_t arena[@NAME@_RAM] @NAME@_ARENA;

";
