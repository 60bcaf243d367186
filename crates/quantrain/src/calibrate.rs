//! Calibration: the float network runs on some images while observers watch, then every quantizer gets its range.

use std::collections::BTreeMap;

use quantrain_data::{Batch, DataError, Order};
use quantrain_engine::{Mode, Monitor, Network, Purpose, Want};
use quantrain_graph::{AxisExtents, Graph, QuantizerId, Range, TensorId};

use crate::axis_values::AxisValues;
use crate::images::image_order;
use crate::measured::{self, Kept};
use crate::observe::{ObserverKind, ObserverSettings};
use crate::progress::Progress;
use crate::ranges::Ranges;
use crate::reach::reach;
use crate::runner::Runner;
use crate::warning::{FEW_IMAGES, Warning};
use crate::{RunError, check_images, image_size};

/// What a calibration has seen.
pub struct Calibrated {
    /// Number of images.
    pub images: usize,
    /// The observers, which training may go on with.
    pub ranges: Ranges,
    /// What they are: with what was chosen, where that was to be measured.
    pub observer: ObserverSettings,
    /// What the user should know of the images.
    pub warnings: Vec<Warning>,
}

/// Sets the range of every quantizer from the batches that `batches` gives.
///
/// Where ranges show that values cannot share a quantizer ([`quantrain_graph::QuantGraph::separations_by`]), quantizers are placed anew and
/// the batches are asked for once more. Memory does not grow with the number of images.
///
/// # Errors
/// A batch cannot be read or does not fit the network, there is none, all values of the images are the same, or values are NaN or infinite.
pub fn calibrate<B>(
    network: &mut Network,
    mut batches: impl FnMut() -> B,
    settings: &ObserverSettings,
    progress: &mut dyn Progress,
) -> Result<Calibrated, RunError>
where
    B: Iterator<Item = Result<Batch, DataError>>,
{
    let mut pass = CalibrationPass::new(network, settings);
    loop {
        for batch in batches() {
            let batch = batch?;
            check_images(network, &batch)?;
            pass.observe(network, batch.size, &batch.inputs())?;
            progress.advance(batch.size as u64, "");
            if progress.stop_requested() {
                return Err(RunError::Stopped { stage: "calibration" });
            }
        }
        match pass.finish(network)? {
            Calibration::Done(calibrated) => return Ok(calibrated),
            Calibration::Again(next) => {
                progress.begin("calibrating what is quantized apart", next.images_before as u64);
                pass = *next;
            }
        }
    }
}

/// What a pass over the calibration's samples leads to.
pub(crate) enum Calibration {
    /// Every quantizer has its range.
    Done(Calibrated),
    /// Quantizers are placed anew; another pass over the same samples finds their ranges.
    Again(Box<CalibrationPass>),
}

/// A pass of the float network over the calibration's samples.
pub(crate) struct CalibrationPass {
    settings: ObserverSettings,
    seen: Seen,
    runner: Runner,
    /// The first samples, where they are to be run again.
    kept: Kept,
    /// Samples of the pass before, 0 in the first.
    images_before: usize,
}

impl CalibrationPass {
    /// The first pass.
    pub fn new(network: &Network, settings: &ObserverSettings) -> Self {
        let graph = network.quant_graph().graph();
        let (extents, constant) = (vec![None; graph.tensors().len()], ConstantChannels::of(graph));
        let nothing = Range::new(f32::INFINITY, f32::NEG_INFINITY);
        let axis = |t: TensorId, axis: usize| {
            let values = AxisValues::of(&graph.tensor(t).shape, axis)?;
            Some((values, vec![nothing; values.count()]))
        };
        let measured = network.quant_graph().measured_along_axes().into_iter();
        let along_axes = measured.map(|(t, axes)| (t, axes.into_iter().filter_map(|a| axis(t, a)).collect())).collect();
        let seen = Seen { images: 0, ranges: Ranges::new(network, settings), extents, along_axes, constant };
        CalibrationPass { settings: *settings, seen, runner: Runner::new(Purpose::Inference), kept: Kept::default(), images_before: 0 }
    }

    /// Runs `size` samples, whose values are given for each input as they lie in memory.
    ///
    /// # Errors
    /// See [`Network::forward`].
    pub fn observe(&mut self, network: &mut Network, size: usize, inputs: &[&[f32]]) -> Result<(), RunError> {
        if let (Some(constant), Some(images)) = (&mut self.seen.constant, inputs.first()) {
            constant.look_at(images);
        }
        self.runner.forward(network, Mode::FLOAT, size, inputs, &mut self.seen, |_, _, _| ())?;
        self.seen.images += size;
        if self.settings.kind == ObserverKind::Measured {
            self.kept.take_up(network, size, inputs);
        }
        Ok(())
    }

    /// Sets the ranges, or asks for another pass.
    ///
    /// # Errors
    /// There was no sample, all values are the same, or values are NaN or infinite.
    pub fn finish(self, network: &mut Network) -> Result<Calibration, RunError> {
        let mut seen = self.seen;
        if seen.images == 0 {
            return Err(RunError::NoImages);
        }
        let separations = network.quant_graph().separations_by(&seen.extents, &seen.along_axes());
        if self.images_before == 0 && separations != network.quant_graph().separations() {
            network.place_by(separations)?;
            let again = CalibrationPass { images_before: seen.images, ..CalibrationPass::new(network, &self.settings) };
            return Ok(Calibration::Again(Box::new(again)));
        }
        let warnings = seen.warnings(network)?;
        seen.ranges.limit_to(reach(network.quant_graph(), &seen.extents));
        seen.ranges.apply(network)?;
        let mut observer = self.settings;
        if observer.kind == ObserverKind::Measured {
            let percentile = measured::choose(network, &self.kept, &mut seen.ranges)?;
            observer = ObserverSettings { kind: ObserverKind::Percentile, percentile, ..observer };
        }
        Ok(Calibration::Done(Calibrated { images: seen.images, ranges: seen.ranges, observer, warnings }))
    }
}

/// What a pass over the images shows.
struct Seen {
    images: usize,
    ranges: Ranges,
    /// Of each tensor, the least and greatest value.
    extents: Vec<Option<Range>>,
    /// Of some, the same for each index of an axis.
    along_axes: BTreeMap<TensorId, Vec<(AxisValues, Vec<Range>)>>,
    /// Of a network of images.
    constant: Option<ConstantChannels>,
}

impl Seen {
    fn along_axes(&self) -> BTreeMap<TensorId, Vec<AxisExtents>> {
        let of = |(values, extents): &(AxisValues, Vec<Range>)| AxisExtents { axis: values.axis(), extents: extents.clone() };
        self.along_axes.iter().map(|(&t, axes)| (t, axes.iter().map(of).collect())).collect()
    }

    /// What the images do not tell.
    ///
    /// # Errors
    /// They tell nothing.
    fn warnings(&self, network: &Network) -> Result<Vec<Warning>, RunError> {
        let graph = network.quant_graph().graph();
        let input = || graph.inputs().first().map_or_else(String::new, |&t| graph.tensor(t).name.clone());
        let mut warnings = Vec::new();
        let (left, all) = self.constant.as_ref().map_or((Vec::new(), 0), |constant| (constant.left(), constant.channels.len()));
        match left {
            channels if channels.is_empty() => {}
            channels if channels.len() == all => {
                return Err(RunError::ConstantInput { input: input(), images: self.images });
            }
            channels => warnings.push(Warning::ConstantChannels { input: input(), channels }),
        }
        if self.images < FEW_IMAGES {
            warnings.push(Warning::FewImages { images: self.images });
        }
        let is_constant = |t: TensorId| self.extents[t.0].is_some_and(|extent| extent.min == extent.max);
        let quantized = graph.nodes().iter().map(|node| node.output).filter(|&t| network.quant_graph().quantizer_of(t).is_some());
        let tensors: Vec<String> = quantized.filter(|&t| is_constant(t)).map(|t| graph.tensor(t).name.clone()).collect();
        if !tensors.is_empty() {
            warnings.push(Warning::ConstantTensors { tensors });
        }
        Ok(warnings)
    }
}

impl Monitor for Seen {
    fn begin(&mut self, images: usize) {
        self.ranges.begin(images);
    }

    fn want(&self, quantizer: QuantizerId) -> Want {
        self.ranges.want(quantizer)
    }

    fn extrema(&mut self, quantizer: QuantizerId, min: f32, max: f32) {
        self.ranges.extrema(quantizer, min, max);
    }

    fn values(&mut self, quantizer: QuantizerId, values: &[f32]) {
        self.ranges.values(quantizer, values);
    }

    fn wants_extent(&self, _: TensorId) -> bool {
        true
    }

    fn extent(&mut self, tensor: TensorId, min: f32, max: f32) {
        let extent = Range::new(min, max);
        self.extents[tensor.0] = Some(self.extents[tensor.0].map_or(extent, |seen| seen.union(extent)));
    }

    fn wants_all(&self, tensor: TensorId) -> bool {
        self.along_axes.contains_key(&tensor)
    }

    fn all(&mut self, tensor: TensorId, values: &[f32], unit: f32) {
        for (axis, extents) in self.along_axes.get_mut(&tensor).into_iter().flatten() {
            axis.each(values, |index, run| {
                let seen = &mut extents[index];
                for v in run.iter().map(|v| v * unit) {
                    (seen.min, seen.max) = (seen.min.min(v), seen.max.max(v));
                }
            });
        }
    }
}

/// Which channels of the images have had one value only.
struct ConstantChannels {
    /// Values of a channel that lie side by side.
    run: usize,
    /// Of each channel the value, where it has had one only.
    channels: Vec<Option<f32>>,
    seen: bool,
}

impl ConstantChannels {
    /// `None` where the network takes no images.
    fn of(graph: &Graph) -> Option<Self> {
        let [height, _, channels] = image_size(graph).ok()?;
        let run = match image_order(graph).ok()? {
            Order::HeightWidthChannels => 1,
            Order::WidthChannelsHeight => height,
        };
        Some(ConstantChannels { run, channels: vec![None; channels], seen: false })
    }

    /// Costs little where channels are not constant: it then ends with the first pixels.
    fn look_at(&mut self, images: &[f32]) {
        let count = self.channels.len();
        for (c, value) in self.channels.iter_mut().enumerate() {
            let mut values = images.chunks(self.run).skip(c).step_by(count).flatten();
            if !self.seen {
                *value = values.next().copied();
            }
            if value.is_some_and(|value| values.any(|v| *v != value)) {
                *value = None;
            }
        }
        self.seen = true;
    }

    /// The channels that have had one value.
    fn left(&self) -> Vec<usize> {
        self.channels.iter().enumerate().filter(|(_, value)| value.is_some()).map(|(c, _)| c).collect()
    }
}
