//! What [`crate::Job`] would refuse of a network, before there are images.

use quantrain_engine::{Plan, Purpose};
use quantrain_graph::{PlacementError, QuantGraph, Range};
use quantrain_integer::{IntegerProgram, LowerError};
use quantrain_onnx::{WriteError, check_clip, check_float, check_qdq};

use crate::RunError;
use crate::images::{fixed_batch, image_size};
use crate::recipe::{ExportStyle, Recipe};

/// Ranges of a dry run: any will do where only the kind of a network matters.
const ANY_RANGE: Range = Range { min: 0.0, max: 1.0 };

/// Plans a network, lowers it to integers and makes its file, without images and without writing; gives why integers cannot run it, if they
/// cannot, which `verify` alone needs.
///
/// # Errors
/// What quantization would end with whatever the images: the network takes none, or of other channels, an operator cannot run, or its file cannot be written.
pub fn dry_run(net: &QuantGraph, recipe: &Recipe) -> Result<Option<LowerError>, RunError> {
    let [_, _, channels] = image_size(net.graph())?;
    recipe.data().preprocess(channels).check()?;
    Plan::new(net, fixed_batch(net.graph()).unwrap_or(1), Purpose::Inference)?;
    let export = recipe.export();
    if !recipe.quantization().enabled {
        check_float(net.graph(), &export.float())?;
        return Ok(None);
    }
    let mut net = net.clone();
    net.quantizers_mut().iter_mut().filter(|q| q.range.is_none()).for_each(|q| q.range = Some(ANY_RANGE));
    let written = match export.style {
        ExportStyle::Qdq => check_qdq(&net, &export.qdq()),
        ExportStyle::Clip => check_clip(&net, &export.clip()),
    };
    match written {
        // What depends on the ranges is not known yet.
        Err(WriteError::Placement(PlacementError::BiasOverflow { .. } | PlacementError::Quantizer { .. })) => {}
        written => written?,
    }
    let lowered = IntegerProgram::lower(&net).err();
    Ok(lowered.filter(|error| matches!(error, LowerError::Unsupported(_) | LowerError::ShiftRounding { .. })))
}
