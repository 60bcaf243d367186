//! What [`crate::Job`] would refuse of a network, before there are images.

use quantrain_engine::{Plan, Purpose};
use quantrain_graph::{PlacementError, QuantGraph};
use quantrain_integer::{IntegerProgram, LowerError};
use quantrain_onnx::{WriteError, check_clip, check_float, check_qdq};

use crate::export::{c_footprint, with_any_ranges};
use crate::images::{fixed_batch, image_size};
use crate::recipe::{ExportStyle, Recipe};
use crate::{RunError, check_inputs};

/// Plans a network, lowers it to integers and makes its file, without images and without writing; gives why integers cannot run it, if they
/// cannot, which `verify` alone needs.
///
/// # Errors
/// What quantization would end with whatever the images: an input has no axis of samples, an operator cannot run, or its file cannot be written.
pub fn dry_run(net: &QuantGraph, recipe: &Recipe) -> Result<Option<LowerError>, RunError> {
    // Images have one channel or three; of other numbers, arrays feed the network.
    if let (Ok([_, _, channels @ (1 | 3)]), true) = (image_size(net.graph()), recipe.data().inputs.is_empty()) {
        recipe.data().preprocess(channels).check()?;
    }
    check_inputs(net.graph(), recipe)?;
    Plan::new(net, fixed_batch(net.graph()).unwrap_or(1), Purpose::Inference)?;
    let export = recipe.export();
    if !recipe.quantization().enabled {
        check_float(net.graph(), &export.float())?;
        return Ok(None);
    }
    let mut net = net.clone();
    with_any_ranges(&mut net);
    let written = match export.style {
        ExportStyle::Qdq => check_qdq(&net, &export.qdq()),
        ExportStyle::Clip => check_clip(&net, &export.clip()),
        ExportStyle::C => {
            c_footprint(&net)?;
            Ok(())
        }
        ExportStyle::Tflite => {
            quantrain_tflite::write(&IntegerProgram::lower(&net)?)?;
            Ok(())
        }
    };
    match written {
        // What depends on the ranges is not known yet.
        Err(WriteError::Placement(PlacementError::BiasOverflow { .. } | PlacementError::Quantizer { .. })) => {}
        written => written?,
    }
    let lowered = IntegerProgram::lower(&net).err();
    Ok(lowered.filter(|error| matches!(error, LowerError::Unsupported(_) | LowerError::ShiftRounding { .. })))
}
