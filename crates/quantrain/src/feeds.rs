//! What a network's inputs and outputs want of data, and batches that are fed to it.

use quantrain_data::{InputSource, InputSpec, LabelSpec, Range};
use quantrain_graph::{Dim, ElementType, Graph, TensorId};

use crate::RunError;
use crate::onnxruntime::Fed;
use crate::recipe::{Data, InputFiles, InputKind, NamedInput, Recipe};

/// Usual names of the labels of a network's first output.
const LABELS: [&str; 5] = ["labels", "label", "targets", "target", "y"];

/// The samples from `first` on of an input's values for `all` samples.
pub(crate) fn part(x: &[f32], all: usize, first: usize, size: usize) -> &[f32] {
    let each = x.len() / all.max(1);
    &x[first * each..(first + size) * each]
}

/// The values of each input, with its name and extents.
pub(crate) fn fed<'a>(graph: &'a Graph, size: usize, values: &[&'a [f32]]) -> Vec<Fed<'a>> {
    let input = |(&t, &values): (&TensorId, &&'a [f32])| {
        let tensor = graph.tensor(t);
        Fed { name: &tensor.name, shape: tensor.shape.at(size), values }
    };
    graph.inputs().iter().zip(values).map(input).collect()
}

/// Whether a network can be fed with data as a recipe says.
///
/// # Errors
/// The recipe names an input or output that the network does not have, or an input has no axis of samples.
pub fn check_inputs(graph: &Graph, recipe: &Recipe) -> Result<(), RunError> {
    inputs(graph, recipe.data(), InputFiles::Training)?;
    labels(graph, recipe.data(), InputFiles::Training).map(drop)
}

/// What each input takes, and where a recipe says it is, for training, evaluation or calibration.
pub(crate) fn inputs(graph: &Graph, data: &Data, files: InputFiles) -> Result<Vec<InputSpec>, RunError> {
    let names = || graph.inputs().iter().map(|&t| graph.tensor(t).name.clone());
    if let Some(unknown) = data.inputs.iter().find(|input| !names().any(|name| name == input.name)) {
        return Err(RunError::NoInput { name: unknown.name.clone(), inputs: names().collect() });
    }
    let indexed = graph.indexed_extents();
    let spec = |&input: &TensorId| {
        let tensor = graph.tensor(input);
        let extents = extents(graph, input)?;
        let said = data.inputs.iter().find(|said| said.name == tensor.name);
        let file = said.and_then(|said| said.file(files).map(Into::into));
        let source = match said {
            Some(NamedInput { kind: InputKind::Image, .. }) => image_source(graph, input, said, file)?,
            _ => InputSource::Array { file, name: said.and_then(|said| said.column.clone()) },
        };
        let kind = graph.element_type(input);
        let (mean, std) = match said {
            Some(said) if said.kind == InputKind::Array => (said.mean.clone(), said.std.clone()),
            _ => (vec![0.0], vec![1.0]),
        };
        let (order, range) = (order(extents.len()), range(kind, indexed.get(&input).copied()));
        let padding_mask = said.is_some_and(|said| said.padding_mask);
        Ok(InputSpec { name: tensor.name.clone(), order, kind: kind.name(), range, extents, source, mean, std, padding_mask })
    };
    graph.inputs().iter().map(spec).collect()
}

/// What each output may be taught by.
pub(crate) fn labels(graph: &Graph, data: &Data, files: InputFiles) -> Result<Vec<LabelSpec>, RunError> {
    let names = || graph.outputs().iter().map(|&t| graph.tensor(t).name.clone());
    if let Some(unknown) = data.labels.iter().find(|label| !names().any(|name| name == label.name)) {
        return Err(RunError::NoOutput { name: unknown.name.clone(), outputs: names().collect() });
    }
    let spec = |(output, &t): (usize, &TensorId)| {
        let name = graph.tensor(t).name.clone();
        let said = data.labels.iter().find(|said| said.name == name);
        // Outputs that are not one value after the other for each sample have no labels.
        let extents = extents(graph, t).ok()?;
        let usual = LABELS.iter().filter(|_| output == 0).map(|&usual| usual.to_owned());
        Some(LabelSpec {
            output,
            order: order(extents.len()),
            kind: said.and_then(|said| said.kind),
            file: said.and_then(|said| said.file(files).map(Into::into)),
            column: said.and_then(|said| said.column.clone()),
            names: std::iter::once(name.clone()).chain(usual).collect(),
            ignored: data.ignored_label,
            extents,
            name,
        })
    };
    Ok(graph.outputs().iter().enumerate().filter_map(spec).collect())
}

/// The extents of a sample.
fn extents(graph: &Graph, tensor: TensorId) -> Result<Vec<usize>, RunError> {
    let tensor = graph.tensor(tensor);
    let found = || format!("`{}` of shape {}", tensor.name, tensor.shape);
    let by_sample = matches!(tensor.shape.0.first(), Some(Dim::Batch(1) | Dim::Fixed(_)));
    let rest = tensor.shape.0.iter().skip(1).map(|dim| dim.fixed()).collect::<Option<Vec<_>>>();
    rest.filter(|_| by_sample).ok_or_else(|| RunError::NoBatchAxis { found: found() })
}

/// The axes of a sample as they lie in memory.
fn order(rank: usize) -> Vec<usize> {
    if rank == 3 { vec![1, 2, 0] } else { (0..rank).collect() }
}

/// The whole numbers that an input takes: those of its type, and of what it picks from.
fn range(kind: ElementType, elements: Option<usize>) -> Option<Range> {
    let (least, greatest) = kind.limits()?;
    let (least, greatest) = (least as f64, greatest as f64);
    Some(match elements.map(|n| n as f64) {
        Some(n) if n - 1.0 < greatest => Range { least: least.max(-n), greatest: n - 1.0, of: "the elements that it picks from" },
        _ => Range { least, greatest, of: "its type" },
    })
}

fn image_source(
    graph: &Graph,
    input: TensorId,
    said: Option<&NamedInput>,
    file: Option<std::path::PathBuf>,
) -> Result<InputSource, RunError> {
    let (size, order) = crate::images::image_of(graph, input)?;
    let Some(said) = said else { return Ok(InputSource::Array { file, name: None }) };
    let preprocess = quantrain_data::Preprocess { order, ..said.images.preprocess(size[2]) };
    Ok(InputSource::Images(quantrain_data::ImageSource { file, column: said.column.clone(), preprocess, size }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_those_of_the_type_and_of_what_they_pick_from() {
        let limits = |kind, elements| range(kind, elements).map(|r| (r.least, r.greatest));
        assert_eq!(limits(ElementType::Uint8, None), Some((0.0, 255.0)));
        assert_eq!(limits(ElementType::Int64, Some(100)), Some((-100.0, 99.0)));
        assert_eq!(limits(ElementType::Uint8, Some(1000)), Some((0.0, 255.0)));
        assert_eq!((limits(ElementType::Bool, None), limits(ElementType::Float16, None)), (Some((0.0, 1.0)), None));
    }
}
