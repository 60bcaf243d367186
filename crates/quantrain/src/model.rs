//! The recipe's network: a float one, or the float network between the quantizers of a file that is quantized already.

use quantrain_engine::memory;
use quantrain_graph::{FileQuantizers, Graph, QuantGraph};

use crate::RunError;
use crate::recipe::Recipe;

/// What a recipe's file holds.
#[derive(Clone, Debug)]
pub struct Model {
    /// The float network; with the pairs of a quantized file where quantization is off.
    pub graph: Graph,
    /// The quantizers that the file has; none where it is a float network, or quantization is off.
    pub quantizers: FileQuantizers,
}

impl Model {
    /// Reads the recipe's model, and limits memory as the recipe says. With quantization on, the quantizers of a QDQ file are taken over, not quantized around.
    ///
    /// # Errors
    /// The file cannot be read; or it has quantizers and the recipe asks for others.
    pub fn read(recipe: &Recipe) -> Result<Self, RunError> {
        Model::of(recipe, quantrain_onnx::read_with(recipe.model(), recipe.read_options())?)
    }

    /// As [`Model::read`], of the bytes of a file; the recipe's `model` stands for it in errors.
    ///
    /// # Errors
    /// As [`Model::read`].
    pub fn read_bytes(recipe: &Recipe, bytes: &[u8]) -> Result<Self, RunError> {
        Model::of(recipe, quantrain_onnx::read_bytes_with(recipe.model(), bytes, recipe.read_options())?)
    }

    fn of(recipe: &Recipe, graph: Graph) -> Result<Self, RunError> {
        memory::set_limit(recipe.memory_limit());
        if !recipe.quantization().enabled {
            return Ok(Model { graph, quantizers: FileQuantizers::default() });
        }
        let (graph, quantizers) = graph.split_quantizers();
        let keys = recipe.other_quantizers();
        if !quantizers.is_empty() && !keys.is_empty() {
            return Err(RunError::QuantizedAlready { model: recipe.model().into(), keys: keys.join(", ") });
        }
        Ok(Model { graph, quantizers })
    }

    /// Whether ranges come from the file, so that nothing is calibrated.
    pub fn is_quantized(&self) -> bool {
        !self.quantizers.is_empty()
    }

    /// The network of `graph` (the model's own, or what training made of it) with the quantizers that the recipe or the file says.
    ///
    /// # Errors
    /// The target does not allow the recipe's widths, or has no quantizers of the file's kinds.
    pub fn place(&self, recipe: &Recipe, graph: Graph) -> Result<QuantGraph, RunError> {
        let settings = recipe.settings();
        Ok(match (recipe.quantization().enabled, self.is_quantized()) {
            (false, _) => QuantGraph::float(graph),
            (true, false) => QuantGraph::prepare(graph, recipe.target().clone(), &settings)?,
            (true, true) => {
                let bias_limit = settings.bias_limit.unwrap_or(recipe.target().bias_limit());
                QuantGraph::take_over(graph, recipe.target().clone(), &self.quantizers, bias_limit)?
            }
        })
    }
}
