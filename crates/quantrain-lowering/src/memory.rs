//! How much memory running a network may take, and how much it takes: added up before anything is allocated.
//!
//! Where no limit is set, it is in proportion to what a user brings: [`BASE`], [`OF_WEIGHTS`] times the constants and [`OF_INPUT`] times the
//! inputs; at most half of the machine's memory. So no small file takes much.

use std::fmt;
use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use quantrain_graph::op::Interpolation;
use quantrain_graph::{Graph, Node, Op, TensorId};
use thiserror::Error;

/// Bytes that every network may take.
pub const BASE: usize = 256 << 20;

/// Bytes for each byte of constants.
pub const OF_WEIGHTS: usize = 64;

/// Bytes for each byte of the inputs.
pub const OF_INPUT: usize = 512;

/// Bytes of the limit that is set; 0 where none is. Memory is the process's, so its limit is too.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Sets the bytes that the buffers of one plan, or of one batch of an integer program, may take in this process; `None` goes back to the
/// default.
pub fn set_limit(bytes: Option<usize>) {
    LIMIT.store(bytes.unwrap_or(0), Ordering::Relaxed);
}

/// Bytes that buffers for `samples` samples may take.
pub fn allowed(graph: &Graph, samples: usize) -> usize {
    match LIMIT.load(Ordering::Relaxed) {
        0 => in_proportion(graph, samples).min(machine() / 2),
        limit => limit,
    }
}

fn in_proportion(graph: &Graph, samples: usize) -> usize {
    let bytes = |values: usize| values.saturating_mul(size_of::<f32>());
    let constants = graph.tensors().iter().filter_map(|t| t.constant.as_ref()).map(Vec::len).fold(0, usize::saturating_add);
    let inputs = graph.inputs().iter().map(|&t| graph.tensor(t).shape.elements(samples)).fold(0, usize::saturating_add);
    BASE.saturating_add(bytes(constants).saturating_mul(OF_WEIGHTS)).saturating_add(bytes(inputs).saturating_mul(OF_INPUT))
}

/// Bytes of the machine's memory, or of what this process may have of it.
fn machine() -> usize {
    static MACHINE: OnceLock<usize> = OnceLock::new();
    *MACHINE.get_or_init(|| {
        let of_machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
        });
        let of_group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
        of_machine.into_iter().chain(of_group).min().unwrap_or(usize::MAX)
    })
}

/// Buffers would take more memory than they may.
#[derive(Clone, Debug, Error, PartialEq)]
#[error(
    "{what} takes {} of memory (tensor `{tensor}` alone {}), {} are allowed; take smaller batches, or raise `memory-limit` if the network is meant so",
    Bytes(*needed), Bytes(*of_tensor), Bytes(*allowed)
)]
pub struct MemoryExceeded {
    /// What would be run.
    pub what: String,
    /// Bytes that it takes.
    pub needed: usize,
    /// The largest tensor.
    pub tensor: String,
    /// Bytes of that tensor.
    pub of_tensor: usize,
    /// Bytes that are allowed.
    pub allowed: usize,
}

/// A number of bytes as people read it.
struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            usize::MAX => f.write_str("more bytes than can be counted"),
            n if n >= 1 << 30 => write!(f, "{:.1} GiB", n as f64 / f64::from(1 << 30)),
            n if n >= 1 << 20 => write!(f, "{} MiB", n >> 20),
            n => write!(f, "{n} bytes"),
        }
    }
}

/// Adds up what running a network takes, and refuses what goes beyond the limit.
pub struct Budget<'g> {
    graph: &'g Graph,
    batch: usize,
    allowed: usize,
    tables: usize,
    largest: (usize, Option<TensorId>),
}

impl<'g> Budget<'g> {
    /// Looks at every tensor of a network, for batches of `batch` samples, before anything is made for it; `counted` samples count for the
    /// limit.
    ///
    /// # Errors
    /// A tensor alone, or the tables that say where nodes read, take more than is allowed.
    pub fn new(graph: &'g Graph, batch: usize, counted: usize) -> Result<Self, MemoryExceeded> {
        let mut budget = Budget { graph, batch, allowed: allowed(graph, counted), tables: 0, largest: (0, None) };
        graph.inputs().iter().try_for_each(|&t| budget.tensor(t))?;
        for node in graph.nodes() {
            budget.tensor(node.output)?;
            budget.tables = budget.tables.saturating_add(tables(graph, node, batch));
            budget.within(budget.tables)?;
        }
        Ok(budget)
    }

    /// Bytes that are allowed.
    pub fn allowed(&self) -> usize {
        self.allowed
    }

    fn tensor(&mut self, tensor: TensorId) -> Result<(), MemoryExceeded> {
        let bytes = self.graph.tensor(tensor).shape.elements(self.batch).saturating_mul(size_of::<f32>());
        if bytes > self.largest.0 {
            self.largest = (bytes, Some(tensor));
        }
        self.within(bytes)
    }

    fn within(&self, needed: usize) -> Result<(), MemoryExceeded> {
        self.refuse(&format!("a batch of {}", self.batch), needed)
    }

    /// Counts `buffers` bytes beside the tables; `what` is run.
    ///
    /// # Errors
    /// Together they take more than is allowed.
    pub fn finish(&self, what: &str, buffers: usize) -> Result<(), MemoryExceeded> {
        self.refuse(what, self.tables.saturating_add(buffers))
    }

    fn refuse(&self, what: &str, needed: usize) -> Result<(), MemoryExceeded> {
        if needed <= self.allowed {
            return Ok(());
        }
        let (of_tensor, tensor) = self.largest;
        let tensor = tensor.map_or_else(String::new, |t| self.graph.tensor(t).name.clone());
        Err(MemoryExceeded { what: what.to_owned(), needed, tensor, of_tensor, allowed: self.allowed })
    }
}

/// Bytes of the tables that a kernel of `node` holds, where they grow with extents.
fn tables(graph: &Graph, node: &Node, batch: usize) -> usize {
    let output = graph.tensor(node.output).shape.at(batch);
    match (&node.op, &output[..]) {
        (Op::Resize(op), [_, _, height, width]) => {
            let each = match op.interpolation {
                Interpolation::Nearest(_) => size_of::<u32>(),
                Interpolation::Linear => 2 * size_of::<u32>() + size_of::<f32>(),
                Interpolation::Cubic { .. } => 4 * size_of::<(u32, f32)>(),
            };
            height.saturating_add(*width).saturating_mul(each)
        }
        // Where the factors of each product start.
        (Op::MatMul(_), [outer @ .., _, _]) => outer.iter().copied().fold(size_of::<[usize; 2]>(), usize::saturating_mul),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use quantrain_graph::GraphBuilder;
    use quantrain_graph::op::{MatMul, Tile};

    use super::*;

    /// `[N, 2, 2, 2]` values, repeated `times` times.
    fn tiled(times: usize) -> Graph {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2, 2, 2]);
        let y = b.node("tile", Op::Tile(Tile { repeats: vec![1, times, 1, 1] }), &[x], "y").unwrap();
        b.output(y);
        b.finish().unwrap()
    }

    #[test]
    fn a_small_network_may_take_the_base_and_a_share_for_its_input() {
        // Eight values of four bytes, three samples.
        assert_eq!(in_proportion(&tiled(2), 3), (256 << 20) + 512 * 3 * 8 * 4);
    }

    #[test]
    fn a_tensor_that_is_too_large_is_named() {
        // 8 values 2^27 times are 4 GiB.
        let graph = tiled(1 << 27);
        let error = Budget::new(&graph, 1, 1).map(|_| ()).unwrap_err();
        assert_eq!((error.needed, error.of_tensor, error.tensor.as_str()), (4 << 30, 4 << 30, "y"));
        assert_eq!(
            error.to_string(),
            "a batch of 1 takes 4.0 GiB of memory (tensor `y` alone 4.0 GiB), 256 MiB are allowed; take smaller batches, or raise \
             `memory-limit` if the network is meant so"
        );
        let graph = tiled(2);
        let budget = Budget::new(&graph, 1, 1).unwrap();
        assert!(budget.finish("a plan", 200 << 20).is_ok());
        assert!(budget.finish("a plan", 300 << 20).is_err());
    }

    #[test]
    fn products_of_small_matrices_have_a_table_of_places() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[1 << 20, 1, 1]);
        let y = b.node("products", Op::MatMul(MatMul), &[x, x], "y").unwrap();
        b.output(y);
        let graph = b.finish().unwrap();
        assert_eq!(tables(&graph, &graph.nodes()[0], 2), 16 * (2 << 20));
    }
}
