//! A recipe at work: the network, the images, and what can be done with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quantrain_data::{BatchPlan, Dataset, Loader};
use quantrain_engine::{Mode, Network};
use quantrain_graph::{QuantGraph, Target};

use crate::checkpoint::{Identity, network_fingerprint};
use crate::evaluate::{Accuracy, evaluate};
use crate::progress::Progress;
use crate::ranges::Ranges;
use crate::recipe::{ExportStyle, Recipe};
use crate::refine::{CalibrationImages, StepReport, output_sqnr, refine};
use crate::sensitivity::{self, Sensitivity};
use crate::train::{Keeper, TrainReport, TrainState, Trainer, restore_network, restore_parameters};
use crate::verify::{self, OnnxRuntime, Verification};
use crate::{RunError, calibrate, check_images, image_size};

/// Images of an evaluation or calibration batch; results do not depend on it.
const EVALUATION_BATCH: usize = 64;

/// A network under a recipe.
pub struct Job {
    recipe: Recipe,
    /// `None` while it is lent to a trainer.
    network: Option<Network>,
    /// The network of the file: what a refinement and a training are measured by.
    float: QuantGraph,
    /// The observers of the calibration.
    ranges: Option<Ranges>,
}

impl Job {
    /// Reads the recipe's model and places quantizers.
    ///
    /// # Errors
    /// The model cannot be read, is no image network, or the target does not allow the recipe's widths.
    pub fn open(recipe: Recipe) -> Result<Self, RunError> {
        let graph = quantrain_onnx::read(recipe.model())?;
        image_size(&graph)?;
        let net = match recipe.quantization().enabled {
            true => QuantGraph::prepare(graph, recipe.target().clone(), &recipe.settings())?,
            false => QuantGraph::float(graph),
        };
        Ok(Job { float: net.clone(), network: Some(Network::new(net)), ranges: None, recipe })
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The network as it stands.
    pub fn net(&mut self) -> &QuantGraph {
        let network = self.network_mut();
        network.store();
        network.quant_graph()
    }

    /// The network with its master parameters.
    pub fn network_mut(&mut self) -> &mut Network {
        self.network.as_mut().expect("a trainer gives the network back")
    }

    /// What the checkpoints of this job say they belong to. Ask before the network is trained or restored.
    pub fn identity(&mut self) -> Identity {
        Identity { network: network_fingerprint(self.net()), recipe: self.recipe.fingerprint() }
    }

    /// Goes back to the network of a checkpoint: parameters, statistics and ranges.
    ///
    /// # Errors
    /// The state is of another network.
    pub fn restore(&mut self, state: &TrainState) -> Result<(), RunError> {
        restore_network(self.network_mut(), &state.position, &state.tensors)
    }

    /// As [`Job::restore`], without ranges: for a checkpoint of the same network under another target. Calibrate it then.
    ///
    /// # Errors
    /// The state is of another network.
    pub fn restore_parameters(&mut self, state: &TrainState) -> Result<(), RunError> {
        restore_parameters(self.network_mut(), &state.tensors)
    }

    /// Looks at the first batch of the images of an evaluation, of a calibration and, where it is wanted, of a training: what does not fit
    /// shows before any work is done.
    ///
    /// # Errors
    /// Images or labels cannot be read or do not fit, or there are none for the training.
    pub fn check_data(&self, training: bool) -> Result<(), RunError> {
        let network = self.network.as_ref().expect("a trainer gives the network back");
        let graph = network.quant_graph().graph();
        let classes = graph.outputs().first().and_then(|&t| graph.tensor(t).shape.0.get(1)?.fixed()).unwrap_or(usize::MAX);
        let train = training.then(|| self.train_loader()).transpose()?;
        let calibration = self.recipe.quantization().enabled.then(|| self.calibration_loader()).transpose()?;
        let eval = self.eval_loader()?;
        let learns_labels = self.recipe.train().losses.labels.is_some();
        for (loader, reads_labels, needs_labels) in
            [(train, learns_labels, learns_labels), (calibration, false, false), (eval, true, false)]
        {
            let Some(batch) = loader.and_then(|l| l.batches(0, 0, 1).next()).transpose()? else { continue };
            check_images(network, &batch)?;
            if needs_labels && batch.labels.is_empty() {
                return Err(RunError::NoLabels);
            }
            let wrong = |label: &&i64| usize::try_from(**label).map_or(true, |l| l >= classes);
            if let Some(&label) = batch.labels.iter().find(wrong).filter(|_| reads_labels) {
                return Err(RunError::Label { label, classes });
            }
        }
        Ok(())
    }

    /// Accuracy of the float network on the evaluation images; `None` without such images or labels.
    ///
    /// # Errors
    /// Images cannot be read or do not fit.
    pub fn float_accuracy(&mut self, progress: &mut dyn Progress) -> Result<Option<Accuracy>, RunError> {
        self.accuracy(Mode::FLOAT, "float network", progress)
    }

    /// Accuracy of the network as simulated, in the target's integers.
    ///
    /// # Errors
    /// The network is not calibrated, images cannot be read or do not fit.
    pub fn simulated_accuracy(&mut self, progress: &mut dyn Progress) -> Result<Option<Accuracy>, RunError> {
        self.accuracy(Mode::SIMULATE, "simulated integers", progress)
    }

    fn accuracy(&mut self, mode: Mode, stage: &str, progress: &mut dyn Progress) -> Result<Option<Accuracy>, RunError> {
        let Some(loader) = self.eval_loader()? else { return Ok(None) };
        let batches = loader.batches(0, 0, self.recipe.data().loader_threads);
        progress.begin(stage, loader.samples() as u64);
        let accuracy = evaluate(self.network_mut(), mode, batches, progress)?;
        progress.end();
        Ok(accuracy)
    }

    /// Output SQNR of the network as simulated against the file's float network, in dB, on the evaluation images.
    ///
    /// # Errors
    /// The network is not calibrated, images cannot be read or do not fit.
    pub fn output_sqnr(&mut self, progress: &mut dyn Progress) -> Result<Option<f64>, RunError> {
        let Some(loader) = self.eval_loader()? else { return Ok(None) };
        let batches = loader.batches(0, 0, self.recipe.data().loader_threads);
        let mut float = Network::new(self.float.clone());
        progress.begin("output SQNR", loader.samples() as u64);
        let sqnr = output_sqnr(&mut float, self.network_mut(), batches, progress)?;
        progress.end();
        Ok(Some(sqnr))
    }

    /// Compares the ways to run the file of this job, a QDQ network opened without quantization, on the evaluation images; by the arithmetic
    /// of `target`, or of the target that the file was written for.
    ///
    /// # Errors
    /// See [`verify::verify`].
    pub fn verify(
        &self,
        target: Option<Target>,
        runtime: Option<&mut OnnxRuntime>,
        progress: &mut dyn Progress,
    ) -> Result<(Target, Verification), RunError> {
        let loader = self.eval_loader()?.ok_or(RunError::NoData { what: "evaluation", key: "data.eval" })?;
        let graph = self.network.as_ref().expect("a trainer gives the network back").quant_graph().graph().clone();
        let target = target.unwrap_or_else(|| verify::target_of(&graph));
        let batches = loader.batches(0, 0, self.recipe.data().loader_threads);
        progress.begin("verifying", loader.samples() as u64);
        let found = verify::verify(graph, target.clone(), runtime, batches, progress)?;
        progress.end();
        Ok((target, found))
    }

    /// Finds the range of every quantizer. Returns the number of images used.
    ///
    /// # Errors
    /// There are no images, they cannot be read or do not fit, or values are not finite.
    pub fn calibrate(&mut self, progress: &mut dyn Progress) -> Result<usize, RunError> {
        let loader = self.calibration_loader()?;
        let (batches, observer) = (loader.batches(0, 0, self.recipe.data().loader_threads), self.recipe.quantization().observer);
        progress.begin("calibrating", loader.samples() as u64);
        let (images, ranges) = calibrate(self.network_mut(), batches, &observer, progress)?;
        progress.end();
        self.ranges = Some(ranges);
        Ok(images)
    }

    /// Refines the calibrated network by the recipe's steps; returns what each did, nothing where there are none.
    ///
    /// # Errors
    /// There are fewer than two calibration images, or see [`refine()`].
    pub fn refine(&mut self, progress: &mut dyn Progress) -> Result<Vec<StepReport>, RunError> {
        let settings = self.recipe.refine();
        if settings.steps.is_empty() {
            return Ok(Vec::new());
        }
        let batches = self.images_of_calibration(None)?.batches(0, 0, self.recipe.data().loader_threads);
        let images = CalibrationImages::read(batches, settings.held_out)?;
        let net = self.network.take().expect("a trainer gives the network back").into_quant_graph();
        let refined = refine(net.clone(), &images, self.recipe.quantization().observer, settings, progress);
        let (net, reports) = refined.map_or_else(|error| (net, Err(error)), |(net, reports)| (net, Ok(reports)));
        self.network = Some(Network::new(net));
        // Observers of the calibration have seen other ranges.
        self.ranges = None;
        reports
    }

    /// Measures what each quantizer of the calibrated network costs, on the first `images` of the calibration's.
    ///
    /// # Errors
    /// See [`sensitivity::measure`].
    pub fn sensitivity(&mut self, images: usize, progress: &mut dyn Progress) -> Result<Sensitivity, RunError> {
        let loader = self.images_of_calibration(Some(images.min(self.recipe.data().calibration_images)))?;
        let batches: Vec<_> = loader.batches(0, 0, self.recipe.data().loader_threads).collect::<Result<_, _>>()?;
        sensitivity::measure(self.net(), &batches, progress)
    }

    /// Trains by the recipe, from the start or from a state.
    ///
    /// # Errors
    /// See [`Trainer::fit`].
    pub fn train(
        &mut self,
        resume: Option<TrainState>,
        keeper: &mut dyn Keeper,
        progress: &mut dyn Progress,
    ) -> Result<TrainReport, RunError> {
        let loader = self.train_loader()?;
        let eval = self.eval_loader()?;
        let recipe = self.recipe.clone();
        let net = self.network.take().expect("a trainer gives the network back").into_quant_graph();
        let mut trainer = Trainer::new(&recipe, net, self.ranges.take()).taught_by(&self.float);
        let trained = resume.map_or(Ok(()), |state| trainer.restore(state));
        let report = trained.and_then(|()| trainer.fit(&loader, eval.as_ref(), keeper, progress));
        self.network = Some(trainer.into_network());
        report
    }

    /// Writes the network into `folder` as the recipe says; returns the files written.
    ///
    /// # Errors
    /// The network is not calibrated, a bias does not fit, or a file cannot be written.
    pub fn export(&mut self, folder: &Path) -> Result<Vec<PathBuf>, RunError> {
        let (style, export) = (self.recipe.export().style, *self.recipe.export());
        let quantized = self.recipe.quantization().enabled;
        let net = self.net();
        if !quantized {
            let path = folder.join("model.float.onnx");
            quantrain_onnx::write_float(net.graph(), &path)?;
            return Ok(vec![path]);
        }
        let mut written = Vec::new();
        match style {
            ExportStyle::Qdq => {
                written.push(folder.join("model.qdq.onnx"));
                quantrain_onnx::write_qdq(net, &written[0], &quantrain_onnx::QdqOptions::default())?;
            }
            ExportStyle::Clip => {
                written.push(folder.join("model.clip.onnx"));
                let options = quantrain_onnx::ClipOptions { quantized_weights: export.quantized_weights };
                quantrain_onnx::write_clip(net, &written[0], &options)?;
                written.push(folder.join("tidl-import.txt"));
                quantrain_onnx::write_tidl_settings(net, &written[1])?;
            }
        }
        if export.encodings {
            let path = folder.join("encodings.json");
            quantrain_onnx::write_encodings(net, &path)?;
            written.push(path);
        }
        Ok(written)
    }

    fn train_loader(&self) -> Result<Loader, RunError> {
        let data = self.recipe.data();
        let path = data.train.as_ref().ok_or(RunError::NoData { what: "training", key: "data.train" })?;
        let size = self.recipe.train().batch_size;
        let plan = BatchPlan { batch_size: size, shuffle: true, seed: self.recipe.seed(), drop_last: true, limit: data.train_images };
        self.loader(path, plan, true)
    }

    /// The images of a calibration; where a refinement follows, without those that it holds out.
    fn calibration_loader(&self) -> Result<Loader, RunError> {
        let (all, refine) = (self.images_of_calibration(None)?, self.recipe.refine());
        match refine.steps.is_empty() || all.samples() < 2 {
            true => Ok(all),
            false => self.images_of_calibration(Some(CalibrationImages::seen_of(all.samples(), refine.held_out))),
        }
    }

    fn images_of_calibration(&self, limit: Option<usize>) -> Result<Loader, RunError> {
        let data = self.recipe.data();
        let path = data.calibration.as_ref().or(data.train.as_ref()).ok_or(RunError::NoData { what: "calibration", key: "data.train" })?;
        let limit = limit.unwrap_or(data.calibration_images);
        let plan = BatchPlan {
            batch_size: EVALUATION_BATCH.min(limit),
            shuffle: true,
            seed: self.recipe.seed(),
            drop_last: false,
            limit: Some(limit),
        };
        self.loader(path, plan, false)
    }

    fn eval_loader(&self) -> Result<Option<Loader>, RunError> {
        let data = self.recipe.data();
        let plan = BatchPlan { batch_size: EVALUATION_BATCH, shuffle: false, seed: 0, drop_last: false, limit: data.eval_images };
        data.eval.as_ref().map(|path| self.loader(path, plan, false)).transpose()
    }

    fn loader(&self, path: &Path, plan: BatchPlan, augment: bool) -> Result<Loader, RunError> {
        let graph = self.network.as_ref().expect("a trainer gives the network back").quant_graph().graph();
        let [_, _, channels] = image_size(graph)?;
        let data = self.recipe.data();
        let dataset: Arc<dyn Dataset> = Arc::from(quantrain_data::open(path, &data.columns)?);
        let augmentation = augment.then(|| self.recipe.augmentation());
        Ok(Loader::new(dataset, &data.preprocess(channels), augmentation, plan)?)
    }
}
