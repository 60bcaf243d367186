//! Where tensors lie: at the caller's, or in one arena in which two whose lifetimes do not meet share memory.

use quantrain_graph::TensorId;

use crate::statement::Over;

/// Where a tensor lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the caller's, to be read.
    Input(usize),
    /// At the caller's, to be written.
    Output(usize),
    /// In the arena, from a byte on.
    Arena(usize),
}

/// A tensor to place.
#[derive(Clone, Copy)]
pub(crate) struct Value {
    pub bytes: usize,
    /// Where it must lie.
    pub fixed: Option<Place>,
    /// Written before the first step.
    pub given: bool,
    /// Read after the last step.
    pub kept: bool,
}

/// One step's use of memory.
pub(crate) struct Step {
    pub inputs: Vec<TensorId>,
    pub output: TensorId,
    pub scratch: usize,
    pub over: Over,
}

/// Places of all tensors that steps touch.
pub(crate) struct Memory {
    places: Vec<Option<Place>>,
    /// Of each step, where its own memory starts.
    pub scratch: Vec<usize>,
    /// Of each step, whether its output is its input and there is nothing to do.
    pub nothing_to_do: Vec<bool>,
    /// Bytes of the arena.
    pub arena: usize,
    /// The most bytes that are in use at one time: no arena is smaller.
    pub bound: usize,
}

impl Memory {
    /// Places the values of a program; `values` has one for each tensor that is read or written.
    pub fn plan(values: &[Option<Value>], steps: &[Step]) -> Self {
        let mut groups = Groups::new(values, steps);
        let nothing_to_do = (0..steps.len()).map(|at| groups.join(at, steps)).collect();
        let mut blocks = groups.blocks();
        blocks.extend(steps.iter().enumerate().filter(|(_, s)| s.scratch > 0).map(|(at, step)| Block {
            owner: Owner::Step(at),
            bytes: step.scratch,
            first: at + 1,
            last: at + 1,
        }));
        let offsets = arrange(&blocks);
        let bound = (0..steps.len() + 2).map(|t| blocks.iter().filter(|b| b.first <= t && t <= b.last).map(|b| b.bytes).sum()).max();
        let arena = blocks.iter().zip(&offsets).map(|(b, at)| at + b.bytes).max().unwrap_or(0);
        let (mut scratch, mut of_group) = (vec![0; steps.len()], vec![None; values.len()]);
        for (block, &at) in blocks.iter().zip(&offsets) {
            match block.owner {
                Owner::Step(step) => scratch[step] = at,
                Owner::Group(group) => of_group[group] = Some(Place::Arena(at)),
            }
        }
        let places = (0..values.len()).map(|t| groups.fixed(t).or(of_group[groups.of[t]])).collect();
        Memory { places, scratch, nothing_to_do, arena, bound: bound.unwrap_or(0) }
    }

    /// Where a tensor lies.
    pub fn place(&self, tensor: TensorId) -> Option<Place> {
        self.places.get(tensor.0).copied().flatten()
    }
}

/// Tensors that lie at one place.
struct Groups<'v> {
    values: &'v [Option<Value>],
    /// Of each tensor, the first one of its group.
    of: Vec<usize>,
    /// Of each tensor, when it is written and last read: 0 before the first step, i + 1 at step i.
    written: Vec<usize>,
    read: Vec<usize>,
}

impl<'v> Groups<'v> {
    fn new(values: &'v [Option<Value>], steps: &[Step]) -> Self {
        let (mut written, mut read) = (vec![0; values.len()], vec![0; values.len()]);
        for (at, step) in steps.iter().enumerate() {
            written[step.output.0] = at + 1;
            for tensor in step.inputs.iter().chain([&step.output]) {
                read[tensor.0] = at + 1;
            }
        }
        for (value, read) in values.iter().zip(&mut read) {
            if value.is_some_and(|v| v.kept) {
                *read = steps.len() + 1;
            }
        }
        Groups { values, of: (0..values.len()).collect(), written, read }
    }

    fn members(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.of.len()).filter(move |&t| self.of[t] == group)
    }

    fn fixed(&self, tensor: usize) -> Option<Place> {
        self.members(self.of[tensor]).find_map(|t| self.values[t]?.fixed)
    }

    /// Puts the output of a step where an input lies, if it may; whether that leaves nothing to do.
    fn join(&mut self, at: usize, steps: &[Step]) -> bool {
        let step = &steps[at];
        let output = step.output.0;
        let (input, only_reads) = match step.over {
            Over::Nothing => return false,
            Over::Same => (step.inputs[0].0, true),
            Over::May(i) | Over::Must(i) => (step.inputs[i].0, false),
        };
        let group = self.of[input];
        let dies = self.members(group).all(|t| self.read[t] <= at + 1);
        let places = (self.fixed(input), self.fixed(output));
        let may = match places {
            (None, _) => true,
            // A caller's input is never written, and an output not again.
            (Some(_), None) => only_reads,
            (Some(_), Some(_)) => false,
        };
        let same_size = self.values[input].map(|v| v.bytes) == self.values[output].map(|v| v.bytes);
        if !may || !same_size || !(only_reads || dies) {
            assert!(!matches!(step.over, Over::Must(_)), "a sum is a block's last step only where its other operand dies");
            return false;
        }
        let from = self.of[output];
        self.of.iter_mut().filter(|g| **g == from).for_each(|g| *g = group);
        only_reads
    }

    /// What the arena has to hold.
    fn blocks(&self) -> Vec<Block> {
        let block = |group: usize| {
            let mut members = self.members(group).filter(|&t| self.values[t].is_some()).peekable();
            members.peek()?;
            if self.fixed(group).is_some() {
                return None;
            }
            let members: Vec<usize> = members.collect();
            let first = members.iter().map(|&t| if self.values[t].is_some_and(|v| v.given) { 0 } else { self.written[t] }).min()?;
            let last = members.iter().map(|&t| self.read[t]).max()?;
            let bytes = members.iter().filter_map(|&t| self.values[t].map(|v| v.bytes)).max()?;
            Some(Block { owner: Owner::Group(group), bytes, first, last })
        };
        (0..self.of.len()).filter(|&t| self.of[t] == t).filter_map(block).collect()
    }
}

enum Owner {
    Group(usize),
    Step(usize),
}

/// Bytes in use from one time to another.
struct Block {
    owner: Owner,
    bytes: usize,
    first: usize,
    last: usize,
}

/// The largest first, each at the lowest place that is free while it lives.
fn arrange(blocks: &[Block]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(blocks[i].bytes), blocks[i].first));
    let mut offsets: Vec<Option<usize>> = vec![None; blocks.len()];
    for i in order {
        let block = &blocks[i];
        let mut taken: Vec<(usize, usize)> = (0..blocks.len())
            .filter(|&j| blocks[j].first <= block.last && block.first <= blocks[j].last)
            .filter_map(|j| offsets[j].map(|at| (at, at + blocks[j].bytes)))
            .collect();
        taken.sort_unstable();
        let mut place = 0;
        for (start, end) in taken {
            if place + block.bytes > start {
                place = place.max(end);
            }
        }
        offsets[i] = Some(place);
    }
    offsets.into_iter().map(Option::unwrap_or_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: usize) -> Option<Value> {
        Some(Value { bytes, fixed: None, given: false, kept: false })
    }

    fn step(inputs: &[usize], output: usize, over: Over) -> Step {
        Step { inputs: inputs.iter().map(|&t| TensorId(t)).collect(), output: TensorId(output), scratch: 0, over }
    }

    /// x → a → b → y, x and y at the caller's.
    fn chain(over: Over) -> Memory {
        let border = |place| Some(Value { bytes: 10, fixed: Some(place), given: false, kept: false });
        let values = [border(Place::Input(0)), value(100), value(100), border(Place::Output(0))];
        Memory::plan(&values, &[step(&[0], 1, Over::Nothing), step(&[1], 2, over), step(&[2], 3, Over::Nothing)])
    }

    #[test]
    fn a_tensor_lies_over_what_nothing_reads_again() {
        assert_eq!((chain(Over::Nothing).arena, chain(Over::Nothing).bound), (200, 200));
        let over = chain(Over::May(0));
        assert_eq!((over.arena, over.place(TensorId(1)), over.nothing_to_do[1]), (100, over.place(TensorId(2)), false));
        let same = chain(Over::Same);
        assert_eq!((same.arena, same.nothing_to_do), (100, vec![false, true, false]));
    }

    #[test]
    fn what_is_read_again_is_not_written_over() {
        let values = [value(10), value(10), value(10), value(10)];
        let steps =
            [step(&[], 0, Over::Nothing), step(&[0], 1, Over::May(0)), step(&[1, 0], 2, Over::May(1)), step(&[2], 3, Over::Nothing)];
        let memory = Memory::plan(&values, &steps);
        assert_ne!(memory.place(TensorId(0)), memory.place(TensorId(1)));
        assert_eq!(memory.place(TensorId(0)), memory.place(TensorId(2)));
    }

    #[test]
    fn an_input_is_never_written() {
        let input = Value { bytes: 10, fixed: Some(Place::Input(0)), given: false, kept: false };
        let memory = Memory::plan(&[Some(input), value(10)], &[step(&[0], 1, Over::May(0))]);
        assert_eq!(memory.place(TensorId(1)), Some(Place::Arena(0)));
    }

    #[test]
    fn small_tensors_fill_gaps() {
        // 60 and 40 live together, then 100 alone, then 40 with it.
        let values = [value(60), value(40), value(100), value(40)];
        let steps = [step(&[], 0, Over::Nothing), step(&[0], 1, Over::Nothing), step(&[1], 2, Over::Nothing), step(&[2], 3, Over::Nothing)];
        let memory = Memory::plan(&values, &steps);
        assert_eq!((memory.arena, memory.bound), (140, 140));
    }
}
