//! A recipe at work: the network, the images, and what can be done with them.

mod judge;
mod prepare;

pub use prepare::Prepared;

use std::path::{Path, PathBuf};

use quantrain_c::Footprint;
use quantrain_engine::{EngineError, Mode, Network};
use quantrain_graph::{FileQuantizers, Graph, QuantGraph, Target};

use crate::checkpoint::{DataFingerprint, Identity, network_fingerprint};
use crate::clip_weights::ClippedWeights;
use crate::datasets::{Datasets, Purpose, training_images};
use crate::evaluate::{Evaluation, evaluate};
use crate::execution::Execution;
use crate::export::{ExportFiles, c_footprint, write_network};
use crate::export_check::{ExportCheck, check_exports};
use crate::images::check_annotations;
use crate::loss::Loss;
use crate::metric::{ByAnnotation, Fidelity, Keeping, KeptOutputs, Metric, Score, Sqnr, WithFidelity};
use crate::model::Model;
use crate::observe::ObserverSettings;
use crate::onnxruntime::OnnxRuntime;
use crate::progress::Progress;
use crate::ranges::Ranges;
use crate::recipe::{ExportStyle, Initialization, Recipe};
use crate::restore::restore_structure;
use crate::sensitivity::{self, Sensitivity};
use crate::stated::differences;
use crate::statistics::{self, NetworkStatistics};
use crate::train::{Keeper, TrainReport, TrainState, Trainer, restore_network, restore_parameters};
use crate::verify::{self, Verification};
use crate::warning::Warning;
use crate::{InputStatistics, RunError, check_images, initialize, restore_batch_norm};

/// A network under a recipe.
pub struct Job {
    recipe: Recipe,
    datasets: Datasets,
    input: Option<InputStatistics>,
    /// `None` while it is lent to a trainer.
    network: Option<Network>,
    /// The network before calibration, refinement and training: what these are measured by, and the teacher.
    float: QuantGraph,
    /// Outputs of `float` for the images that judge, as far as they are known.
    float_outputs: KeptOutputs,
    /// Whether the network still computes in float what `float` does.
    is_untouched: bool,
    /// The observers of the calibration.
    ranges: Option<Ranges>,
    /// What finds ranges: the recipe's, or what calibration has chosen.
    observer: ObserverSettings,
    metric: Box<dyn Metric>,
    /// What training minimises in the place of the recipe's losses.
    loss: Option<Box<dyn Loss>>,
    identity: Identity,
    restored: usize,
    /// The quantizers of the recipe's file, where it is quantized already.
    file_quantizers: FileQuantizers,
    /// Whether it is opened to be trained.
    trains: bool,
    /// What the network as it stands is worth, where it was measured since it changed.
    worth: Option<Score>,
    /// Its output SQNR, where that was measured beside.
    sqnr: Option<Sqnr>,
    /// What ran the network that was judged last.
    execution: Option<Execution>,
    calibration_warnings: Vec<Warning>,
    /// What the last calibration clipped.
    clipped: Vec<ClippedWeights>,
}

impl Job {
    /// Reads the recipe's model and places quantizers.
    ///
    /// # Errors
    /// The model cannot be read, the recipe is about inputs that it does not have, or the target does not allow the recipe's widths.
    pub fn open(recipe: Recipe) -> Result<Self, RunError> {
        let model = Model::read(&recipe)?;
        let datasets = Datasets::new(&recipe, &model.graph)?;
        let graph = model.graph.clone();
        Ok(Job { is_untouched: true, ..Job::of(recipe, datasets, model, graph)? })
    }

    /// As [`Job::open`], with the usual refinement where none was chosen; a file that is quantized already has its ranges, and gets none.
    ///
    /// # Errors
    /// As [`Job::open`].
    pub fn for_quantizing(recipe: Recipe) -> Result<Self, RunError> {
        let mut job = Job::open(recipe)?;
        if job.file_quantizers.is_empty() {
            job.recipe = job.recipe.refined_as_usual();
        }
        Ok(job)
    }

    /// As [`Job::open`], with what training wants before it starts: new weights where the recipe says so, and BatchNormalization restored
    /// where it was folded away. Weights are quantized for their own ranges, also those of a file that is quantized already, unless these are
    /// learned.
    ///
    /// # Errors
    /// As [`Job::open`]; training images that are needed to restore cannot be read; or the float network of a quantized file is asked for.
    pub fn for_training(recipe: Recipe) -> Result<Self, RunError> {
        training_images(&recipe)?;
        let model = Model::read(&recipe)?;
        if !recipe.quantization().enabled && model.graph.is_quantized() {
            return Err(RunError::FloatTrainingOfQuantized { model: recipe.model().into() });
        }
        let datasets = Datasets::new(&recipe, &model.graph)?;
        let recipe = datasets.named_recipe()?;
        let mut prepared = model.graph.clone();
        if recipe.train().initialization == Initialization::He {
            initialize(&mut prepared, recipe.seed());
        }
        if restores(&recipe, &prepared) {
            let loader = datasets.needed(Purpose::Statistics)?;
            prepared = restore_batch_norm(prepared, loader.batches(0, 0, recipe.data().loader_threads))?;
        }
        Ok(Job { trains: true, ..Job::of(recipe, datasets, model, prepared)? }.with_ranges_of_weights())
    }

    /// The network of [`Job::for_training`] without its numbers, which [`Job::restore`] brings; needs no images.
    ///
    /// # Errors
    /// As [`Job::open`].
    pub fn for_checkpoint(recipe: Recipe) -> Result<Self, RunError> {
        let model = Model::read(&recipe)?;
        let graph = model.graph.clone();
        let prepared = if restores(&recipe, &graph) { restore_structure(graph)? } else { graph };
        let datasets = Datasets::new(&recipe, &model.graph)?;
        Ok(Job::of(recipe, datasets, model, prepared)?.with_ranges_of_weights())
    }

    /// Of the recipe's model and what is to be trained of it.
    fn of(recipe: Recipe, datasets: Datasets, model: Model, graph: Graph) -> Result<Self, RunError> {
        let file = &model.graph;
        let identity = Identity { network: network_fingerprint(&model.place(&recipe, file.clone())?), recipe: recipe.fingerprint() };
        let restored = graph.nodes().len() - file.nodes().len();
        let compares = recipe.quantization().enabled;
        let float_outputs = KeptOutputs::default();
        let reference = compares.then(|| Fidelity::new(QuantGraph::float(file.clone())).knowing(float_outputs.clone()));
        let metric = Box::new(ByAnnotation::new(recipe.data().ignored_label, reference));
        let net = model.place(&recipe, graph)?;
        Ok(Job {
            datasets,
            input: None,
            float: net.clone(),
            float_outputs,
            is_untouched: false,
            network: Some(Network::new(net)),
            ranges: None,
            observer: recipe.quantization().observer,
            metric,
            loss: None,
            identity,
            restored,
            file_quantizers: model.quantizers,
            trains: false,
            worth: None,
            sqnr: None,
            execution: None,
            calibration_warnings: Vec::new(),
            clipped: Vec::new(),
            recipe,
        })
    }

    /// Takes the limits away that a file gave its weights, unless they are learned from there.
    fn with_ranges_of_weights(mut self) -> Self {
        let learned = self.recipe.quantization().learn_ranges.is_some_and(|learn| learn.weights);
        if !self.file_quantizers.is_empty() && !learned {
            let mut net = self.float.clone();
            (0..net.units().len()).for_each(|unit| net.set_weight_limits(unit, None));
            self.network = Some(Network::new(net));
        }
        self
    }

    /// The quantizers that the recipe's file has, and that were taken over; none where it is a float network.
    pub fn file_quantizers(&self) -> &FileQuantizers {
        &self.file_quantizers
    }

    /// Judges the network by another metric than accuracy, mean IoU, or the distance from the float network's outputs.
    pub fn set_metric(&mut self, metric: Box<dyn Metric>) {
        self.metric = metric;
    }

    /// Lets training minimise a loss of the caller's in the place of the recipe's.
    pub fn set_loss(&mut self, loss: Box<dyn Loss>) {
        self.loss = Some(loss);
    }

    /// Judges by the distance from the outputs of this file's network, whatever labels there are.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn compare_with(&mut self, float: &Path) -> Result<(), RunError> {
        let reference = Fidelity::new(QuantGraph::float(quantrain_onnx::read_with(float, self.recipe.read_options())?));
        self.metric = Box::new(reference);
        Ok(())
    }

    /// Layers that got a BatchNormalization for training.
    pub fn restored_layers(&self) -> usize {
        self.restored
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The network as it stands.
    pub fn net(&mut self) -> &QuantGraph {
        let network = self.network.as_mut().expect("a trainer gives the network back");
        network.store();
        network.quant_graph()
    }

    /// The network with its master parameters.
    pub fn network_mut(&mut self) -> &mut Network {
        self.is_untouched = false;
        self.network.as_mut().expect("a trainer gives the network back")
    }

    /// What the user should know of the data used so far: where the model's file says other things of its images than the recipe, files left
    /// out, images turned, how classes are numbered.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = differences(&self.float.graph().metadata, self.recipe.data());
        notes.extend(self.datasets.notes());
        notes
    }

    /// The first batch that [`Job::check_data`] saw last, in figures: of the evaluation, where there is one.
    pub fn input(&self) -> Option<InputStatistics> {
        self.input
    }

    /// What the checkpoints of this job say they belong to.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// What the data that a training depends on is known by.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn data_fingerprints(&self) -> Result<Vec<DataFingerprint>, RunError> {
        self.datasets.fingerprints()
    }

    /// Goes back to the network of a checkpoint: parameters, statistics and ranges.
    ///
    /// # Errors
    /// The state is of another network.
    pub fn restore(&mut self, state: &TrainState) -> Result<(), RunError> {
        self.worth = None;
        restore_network(self.network_mut(), &state.position, &state.tensors)
    }

    /// As [`Job::restore`], without ranges: for a checkpoint of the same network under another target. Calibrate it then.
    ///
    /// # Errors
    /// The state is of another network.
    pub fn restore_parameters(&mut self, state: &TrainState) -> Result<(), RunError> {
        self.worth = None;
        restore_parameters(self.network_mut(), &state.tensors)
    }

    /// Looks at the first batch of the images of an evaluation, of a calibration and, where it is wanted, of a training: what does not fit
    /// shows before any work is done.
    ///
    /// # Errors
    /// Images or labels cannot be read or do not fit, or there are none for the training.
    pub fn check_data(&mut self, training: bool) -> Result<(), RunError> {
        self.recipe = self.datasets.named_recipe()?;
        let network = self.network.as_ref().expect("a trainer gives the network back");
        let graph = network.quant_graph().graph();
        let losses = &self.recipe.train().losses;
        let outputs: Vec<&str> = graph.outputs().iter().map(|&t| graph.tensor(t).name.as_str()).collect();
        losses.distances(&outputs)?;
        let train = training.then(|| self.datasets.needed(Purpose::Training)).transpose()?;
        let calibrates = self.recipe.quantization().enabled && self.file_quantizers.is_empty();
        let calibration = calibrates.then(|| self.datasets.needed(Purpose::Calibration)).transpose()?;
        let eval = self.datasets.loader(Purpose::Evaluation)?;
        let learns_labels = losses.needs_labels() && self.loss.is_none();
        for (loader, reads_labels, needs_labels) in
            [(train, learns_labels, learns_labels), (calibration, false, false), (eval, true, false)]
        {
            let Some(batch) = loader.map(|loader| loader.first()).transpose()? else { continue };
            self.input = Some(InputStatistics::of(&batch));
            check_images(network, &batch)?;
            if needs_labels && batch.labels.is_empty() && batch.masks.is_none() && batch.targets.is_empty() {
                return Err(RunError::NoLabels);
            }
            if reads_labels {
                check_annotations(graph, &batch, self.recipe.data().ignored_label)?;
            }
        }
        Ok(())
    }

    /// What the float network is worth on the images that judge; `None` where they do not tell.
    ///
    /// # Errors
    /// Images cannot be read or do not fit.
    pub fn float_score(&mut self, progress: &mut dyn Progress) -> Result<Option<Score>, RunError> {
        self.score(Mode::FLOAT, None, progress)
    }

    /// What the network is worth as simulated, in the target's integers.
    ///
    /// # Errors
    /// The network is not calibrated, images cannot be read or do not fit.
    pub fn simulated_score(&mut self, progress: &mut dyn Progress) -> Result<Option<Score>, RunError> {
        let mut fidelity = (!self.trains).then(|| Fidelity::new(self.float.clone()).knowing(self.float_outputs.clone()));
        self.worth = self.score(Mode::SIMULATE, fidelity.as_mut(), progress)?;
        self.sqnr = fidelity.and_then(|f| f.sqnr());
        Ok(self.worth.clone())
    }

    /// The output SQNR of the network as simulated against the file's float network, as found by the last [`Job::simulated_score`].
    pub fn sqnr(&self) -> Option<&Sqnr> {
        self.sqnr.as_ref()
    }

    /// What ran the network that was judged last: the integer program, where the network lowers whole.
    pub fn execution(&self) -> Option<Execution> {
        self.execution
    }

    fn score(&mut self, mode: Mode, fidelity: Option<&mut Fidelity>, progress: &mut dyn Progress) -> Result<Option<Score>, RunError> {
        let Some(loader) = self.datasets.judging()? else { return Ok(None) };
        let batches = loader.batches(0, 0, self.recipe.data().loader_threads);
        progress.begin(if mode == Mode::FLOAT { "float network" } else { "simulated integers" }, loader.samples() as u64);
        let network = self.network.as_mut().expect("a trainer gives the network back");
        let mut metric = WithFidelity { metric: &mut *self.metric, fidelity };
        let is_reference = mode == Mode::FLOAT && self.is_untouched && self.recipe.quantization().enabled;
        let Evaluation { score, execution } = if is_reference {
            let mut metric = Keeping { metric: &mut metric, outputs: &self.float_outputs };
            evaluate(network, mode, batches, &mut metric, progress)?
        } else {
            evaluate(network, mode, batches, &mut metric, progress)?
        };
        self.execution = Some(execution);
        progress.end();
        Ok(score)
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
        let loader = self.datasets.needed(Purpose::Evaluation)?;
        let graph = self.network.as_ref().expect("a trainer gives the network back").quant_graph().graph().clone();
        let target = target.unwrap_or_else(|| verify::target_of(&graph));
        let batches = loader.batches(0, 0, self.recipe.data().loader_threads);
        progress.begin("verifying", loader.samples() as u64);
        let found = verify::verify(graph, target.clone(), runtime, batches, progress)?;
        progress.end();
        Ok((target, found))
    }

    /// Measures what each quantizer of the calibrated network costs, on `images` of the calibration's.
    ///
    /// # Errors
    /// See [`sensitivity::measure`].
    pub fn sensitivity(&mut self, images: usize, progress: &mut dyn Progress) -> Result<Sensitivity, RunError> {
        let loader = self.datasets.calibration(images)?;
        let batches: Vec<_> = loader.batches(0, 0, self.recipe.data().loader_threads).collect::<Result<_, _>>()?;
        sensitivity::measure(self.net(), &batches, progress)
    }

    /// What quantization does to each layer of the calibrated network, on [`statistics::IMAGES`] images of those that judge.
    ///
    /// # Errors
    /// See [`statistics::measure`].
    pub fn statistics(&mut self, progress: &mut dyn Progress) -> Result<NetworkStatistics, RunError> {
        let loader = self.datasets.few(statistics::IMAGES)?;
        let batches = loader.batches(0, 0, self.recipe.data().loader_threads);
        progress.begin("layer statistics", loader.samples() as u64);
        let found = statistics::measure(self.net(), batches, progress)?;
        progress.end();
        Ok(found)
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
        let loader = self.datasets.needed(Purpose::Training)?;
        let eval = self.datasets.judging()?;
        let recipe = self.recipe.clone();
        self.is_untouched = false;
        let mut net = self.network.take().expect("a trainer gives the network back").into_quant_graph();
        if let Some(state) = &resume {
            net.place_by(state.position.separations.clone()).map_err(EngineError::from)?;
        }
        let mut trainer = Trainer::new(&recipe, net, self.ranges.take()).taught_by(&self.float).worth(self.worth.take());
        if let Some(loss) = &mut self.loss {
            trainer = trainer.minimizing(loss.as_mut());
        }
        let trained = resume.map_or(Ok(()), |state| trainer.restore(state));
        let eval = eval.as_ref().map(|loader| (loader, &mut *self.metric as &mut dyn Metric));
        let report = trained.and_then(|()| trainer.fit(&loader, eval, keeper, progress));
        self.network = Some(trainer.into_network());
        report
    }

    /// The layers whose biases do not fit the recipe's limit, as the network stands.
    ///
    /// # Errors
    /// A weight or bias is not finite.
    pub fn saturated_biases(&mut self) -> Result<Option<Warning>, RunError> {
        let layers = self.net().saturated_biases().map_err(EngineError::from)?;
        Ok((!layers.is_empty()).then_some(Warning::SaturatedBiases { layers }))
    }

    /// What the network takes as C, where the recipe exports it so.
    ///
    /// # Errors
    /// It has no C form.
    pub fn c_footprint(&mut self) -> Result<Option<Footprint>, RunError> {
        let exports_c = self.recipe.quantization().enabled && self.recipe.export().style == ExportStyle::C;
        exports_c.then(|| c_footprint(self.net())).transpose()
    }

    /// Writes the network into `folder` as the recipe says; returns the files written.
    ///
    /// # Errors
    /// The network is not calibrated, a bias does not fit, or a file cannot be written.
    pub fn export(&mut self, folder: &Path) -> Result<Vec<PathBuf>, RunError> {
        let (export, quantized) = (*self.recipe.export(), self.recipe.quantization().enabled);
        let files = ExportFiles {
            model: match (quantized, export.style) {
                (true, ExportStyle::C) => folder.join(self.recipe.exported_source()),
                (true, ExportStyle::Tflite) => folder.join(self.recipe.exported_tflite()),
                _ => folder.join(self.recipe.exported_model()),
            },
            import_settings: folder.join("tidl-import.txt"),
            encodings: folder.join("encodings.json"),
        };
        write_network(self.net(), files, &export, quantized)
    }

    /// Opens the models among the files that [`Job::export`] wrote in ONNX Runtime, where it is found, and runs a batch.
    ///
    /// # Errors
    /// ONNX Runtime refuses a model, or an output is not finite or another than the float network's in name, type or shape.
    pub fn check_export(&mut self, files: &[PathBuf]) -> Result<ExportCheck, RunError> {
        if !self.recipe.export().check {
            return Ok(ExportCheck::LeftOut);
        }
        let models: Vec<PathBuf> = files.iter().filter(|file| file.extension().is_some_and(|e| e == "onnx")).cloned().collect();
        if models.is_empty() {
            return Ok(ExportCheck::NoModel);
        }
        let float = self.recipe.model().to_owned();
        check_exports(self.net(), &float, &models)
    }

    fn graph(&self) -> &Graph {
        self.network.as_ref().expect("a trainer gives the network back").quant_graph().graph()
    }
}

/// Whether BatchNormalization is restored for training.
fn restores(recipe: &Recipe, graph: &Graph) -> bool {
    recipe.quantization().enabled && recipe.quantization().restore_batch_norm && !graph.not_normalized().is_empty()
}
