//! A network for a training loop of one's own: fed and read in ONNX's shapes and orders, without recipe files, data sets, plans or buffers.
//!
//! ```
//! use quantrain::optimizer::{Optimizer, Rule, Sgd};
//! use quantrain::recipe::RecipeFile;
//! use quantrain::{Pass, Session, Tensor};
//!
//! # let images: Vec<Tensor> = (0..4u32)
//! #     .map(|seed| Tensor { shape: vec![8, 1, 28, 28], values: (0..6272u32).map(|i| ((i * 7919 + seed * 31) % 255) as f32 / 255.0).collect() })
//! #     .collect();
//! let mut settings = RecipeFile { model: Some("../../examples/fashion-mnist/fashion_mobilenet.onnx".into()), ..RecipeFile::default() };
//! settings.target = Some("tidl-pow2".into());
//! settings.quantization.weight_bits = Some(6); // every key of a recipe's [quantization]
//! let mut session = Session::open(settings.try_into()?)?;
//! let input = session.inputs()[0].name.clone();
//! session.calibrate(|| images.iter().map(|x| vec![(input.as_str(), x.into())]))?;
//!
//! let mut optimizer = Optimizer::new(Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }), 1e-4, None);
//! for epoch in 0..2 {
//!     session.epoch(epoch, 2)?; // BatchNormalization and ranges freeze as in a recipe
//!     for x in &images {
//!         let outputs = session.forward(&[(&input, x.into())], Pass::Training)?;
//!         // A loss of one's own, ½·mean of squares, and its gradient.
//!         let count = outputs[0].values.len() as f32;
//!         let gradient = Tensor { values: outputs[0].values.iter().map(|y| y / count).collect(), ..outputs[0].clone() };
//!         session.backward(&[Some((&gradient).into())])?;
//!         session.step(&mut optimizer, 1e-3)?;
//!     }
//! }
//! let folder = tempfile::tempdir()?;
//! session.export(&folder.path().join("model.qdq.onnx"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod calibration;
mod error;
mod export;
mod judge;
mod parameters;
mod state;
mod tensor;

pub use calibration::CalibrationReport;
pub use error::SessionError;
pub use judge::Labels;
pub use parameters::SessionParameter;
pub use state::{SessionMemory, SessionState};
pub use tensor::{Feed, Tensor};

use std::path::Path;

use quantrain_engine::{Mode, Network, Purpose};
use quantrain_graph::{ElementType, Graph, QuantGraph, Shape, TensorId};
use rayon::ThreadPool;

use crate::checkpoint::{Identity, network_fingerprint};
use crate::model::Model;
use crate::optimizer::Optimizer;
use crate::quantizer_training::QuantizerTraining;
use crate::recipe::Recipe;
use crate::runner::{Runner, read_outputs};
use crate::schedule::FreezeSchedule;
use crate::{RunError, mode};
use calibration::Calibrating;
use tensor::Fed;

/// How a forward runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The float network, with running statistics.
    Float,
    /// As the device runs it: simulated integers, running statistics. Float where the network is not quantized.
    Simulated,
    /// A training step: simulated integers, ranges and statistics follow the batch until they freeze, and a backward may follow.
    Training,
}

/// An input or output of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name in the file.
    pub name: String,
    /// Its extents, as in ONNX.
    pub shape: Shape,
    /// Its type in the file; values go in and come out as 32-bit floats all the same.
    pub kind: ElementType,
}

/// A quantized tensor with its range, once it has one.
pub type NamedRange = (String, Option<[f32; 2]>);

/// A network with its float masters, quantizers, plans and buffers.
pub struct Session {
    recipe: Recipe,
    model: Model,
    network: Network,
    /// Once every quantizer has a range.
    quantizers: Option<QuantizerTraining>,
    calibrating: Option<Calibrating>,
    identity: Identity,
    /// Whether layers got a BatchNormalization.
    restored: bool,
    epoch: u32,
    epochs: u32,
    inference: Runner,
    training: Runner,
    input_gradients: bool,
    /// The training forward that a backward may go back from.
    forward: Option<Forward>,
    /// Whether there are gradients that no step has used.
    has_gradients: bool,
    pool: Option<ThreadPool>,
}

/// What a backward needs to know of its forward.
struct Forward {
    batch: usize,
    mode: Mode,
    /// The inputs as they lie in memory, where their gradients are wanted.
    fed: Vec<Vec<f32>>,
}

impl Session {
    /// Reads the recipe's model and places quantizers. Of the recipe count `model`, `input-shape`, `target`, `threads`, `[quantization]`,
    /// `[export]`, and of `[train]` what [`Session::epoch`] names; images are the caller's.
    ///
    /// # Errors
    /// The file cannot be read, or the target does not allow the recipe's widths.
    pub fn open(recipe: Recipe) -> Result<Self, RunError> {
        let model = Model::read(&recipe)?;
        Session::of(recipe, model)
    }

    /// As [`Session::open`], of the bytes of an ONNX file; the recipe's `model` stands for it in errors.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn of_bytes(recipe: Recipe, bytes: &[u8]) -> Result<Self, RunError> {
        let model = Model::read_bytes(&recipe, bytes)?;
        Session::of(recipe, model)
    }

    fn of(recipe: Recipe, model: Model) -> Result<Self, RunError> {
        let net = model.place(&recipe, model.graph.clone())?;
        let identity = Identity { network: network_fingerprint(&net), recipe: recipe.fingerprint() };
        let pool = match recipe.threads() {
            0 => None,
            threads => {
                let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                Some(built.map_err(|e| SessionError::Threads { message: e.to_string() })?)
            }
        };
        let epochs = recipe.train().epochs;
        let mut session = Session {
            network: Network::new(net),
            quantizers: None,
            calibrating: None,
            identity,
            restored: false,
            epoch: 0,
            epochs,
            inference: Runner::new(Purpose::Inference),
            training: Runner::new(Purpose::Training(mode::gradient_path(&recipe))),
            input_gradients: false,
            forward: None,
            has_gradients: false,
            pool,
            model,
            recipe,
        };
        if session.network.quant_graph().is_calibrated() {
            session.begin_training(None);
        }
        Ok(session)
    }

    /// The settings.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The network's inputs, in the order of the file.
    pub fn inputs(&self) -> Vec<Port> {
        ports(self.graph(), self.graph().inputs())
    }

    /// The network's outputs, in the order of the file.
    pub fn outputs(&self) -> Vec<Port> {
        ports(self.graph(), self.graph().outputs())
    }

    /// The network with its parameters as they are now.
    pub fn quant_graph(&mut self) -> Result<&QuantGraph, RunError> {
        self.settle()?;
        self.network.store();
        Ok(self.network.quant_graph())
    }

    /// Whether every quantizer has a range, so that it can be simulated and trained.
    pub fn is_calibrated(&self) -> bool {
        self.quantizers.is_some()
    }

    /// Says which epoch, from 0, of how many begins: BatchNormalization and ranges freeze, and widths step down, as in a recipe of so many
    /// epochs. Where the settings name that number as `train.epochs`, their own epochs of freezing hold. Without it, it is epoch 0 of
    /// `train.epochs`.
    ///
    /// # Errors
    /// There is no such epoch.
    pub fn epoch(&mut self, epoch: u32, of: u32) -> Result<(), RunError> {
        if epoch >= of {
            return Err(SessionError::Epoch { epoch, of }.into());
        }
        // What was observed until now holds even where ranges freeze from here on.
        self.settle()?;
        (self.epoch, self.epochs) = (epoch, of);
        Ok(())
    }

    /// The learning rate's share, 0 to 1, of the training that was done before this epoch.
    fn done(&self) -> f64 {
        f64::from(self.epoch) / f64::from(self.epochs.max(1))
    }

    fn freeze(&self) -> FreezeSchedule {
        if self.epochs == self.recipe.train().epochs { self.recipe.train().freeze } else { FreezeSchedule::over(self.epochs) }
    }

    fn watching(&self) -> bool {
        !self.freeze().ranges_are_frozen(self.epoch)
    }

    /// Whether each backward gives the gradients of the inputs too.
    pub fn want_input_gradients(&mut self, wanted: bool) {
        if wanted != self.input_gradients {
            (self.input_gradients, self.forward) = (wanted, None);
            self.training = self.training_runner();
        }
    }

    /// Runs forward and gives the outputs, in the order of the file. Feeds are given by the names of inputs, in any order.
    ///
    /// # Errors
    /// Feeds do not fit the inputs, the network is not calibrated, or values are not finite.
    pub fn forward(&mut self, feeds: &[(&str, Feed<'_>)], pass: Pass) -> Result<Vec<Tensor>, RunError> {
        self.forward = None;
        let fed = Fed::new(self.graph(), feeds)?;
        self.settle()?;
        let (mode, watching) = (self.mode_of(pass), self.watching());
        self.network.widen(self.recipe.train().step_down.get(self.epoch as usize).copied().filter(|_| pass == Pass::Training));
        let Session { network, quantizers, inference, training, pool, .. } = self;
        let slices = fed.slices();
        let mut values = Vec::new();
        on(pool.as_ref(), || -> Result<(), RunError> {
            if pass != Pass::Training {
                return Ok(inference.outputs(network, mode, fed.batch, &slices, &mut values)?);
            }
            let (plan, workspace) = training.plan(network, fed.batch)?;
            match quantizers {
                Some(quantizers) => quantizers.forward(network, (plan, workspace), mode, &slices, watching)?,
                None => network.forward(plan, workspace, mode, &slices, &mut ())?,
            }
            read_outputs(network, plan, workspace, &mut values);
            Ok(())
        })?;
        if pass == Pass::Training {
            let kept = if self.input_gradients { fed.values.iter().map(|v| v.to_vec()).collect() } else { Vec::new() };
            self.forward = Some(Forward { batch: fed.batch, mode, fed: kept });
        }
        let graph = self.graph();
        let shapes = graph.outputs().iter().map(|&t| graph.tensor(t).shape.at(fed.batch));
        Ok(shapes.zip(values).map(|(shape, values)| Tensor::of_memory_order(shape, &values)).collect())
    }

    /// Runs backward from the gradients of the outputs by the loss, `None` where the loss does not depend on one. Leaves the gradients of the
    /// parameters in [`Session::parameters`], which the next backward overwrites; gives those of the inputs, in the order of the file, where
    /// they are wanted.
    ///
    /// # Errors
    /// The last pass was no forward in training, or a gradient does not fit or is not finite.
    pub fn backward(&mut self, gradients: &[Option<Feed<'_>>]) -> Result<Vec<Tensor>, RunError> {
        let Forward { batch, mode, fed } = self.forward.take().ok_or(SessionError::NoForward)?;
        let graph = self.graph();
        let outputs: Vec<_> = graph.outputs().iter().map(|&t| graph.tensor(t)).collect();
        if gradients.len() != outputs.len() {
            return Err(SessionError::GradientCount { found: gradients.len(), expected: outputs.len() }.into());
        }
        let each = outputs.iter().zip(gradients);
        let ordered = each.map(|(output, given)| tensor::gradient(&output.name, &output.shape.at(batch), *given));
        let ordered: Vec<_> = ordered.collect::<Result<_, _>>()?;
        let slices: Vec<&[f32]> = ordered.iter().map(|g| &**g).collect();
        let Session { network, training, pool, .. } = self;
        let mut found = vec![Vec::new(); fed.len()];
        on(pool.as_ref(), || -> Result<(), RunError> {
            let (plan, workspace) = training.plan(network, batch)?;
            network.backward(plan, workspace, mode, &slices);
            for (i, (x, to)) in fed.iter().zip(&mut found).enumerate() {
                network.read_input_gradient(plan, workspace, i, x, to);
            }
            Ok(())
        })?;
        self.has_gradients = true;
        let graph = self.graph();
        let shapes = graph.inputs().iter().map(|&t| graph.tensor(t).shape.at(batch));
        Ok(shapes.zip(found).map(|(shape, values)| Tensor::of_memory_order(shape, &values)).collect())
    }

    /// An optimizer's step with the gradients of the last backward: changes parameters and, where they are learned, ranges; oscillating weights
    /// are damped or frozen as the settings say. Gives the norm of the gradient. An optimizer of one's own changes [`Session::parameters`].
    ///
    /// # Errors
    /// There was no backward since the last step, or a gradient is not finite.
    pub fn step(&mut self, optimizer: &mut Optimizer, rate: f32) -> Result<f32, RunError> {
        let (done, watching) = (self.done(), self.watching());
        if !std::mem::take(&mut self.has_gradients) {
            return Err(SessionError::NoBackward.into());
        }
        let quantizers = self.quantizers.as_mut().ok_or(SessionError::NoBackward)?;
        quantizers.update(&mut self.network, optimizer, rate, done, watching)
    }

    /// Whether ranges are learned, so that [`Session::step`] must make the optimizer's steps.
    pub fn learns_ranges(&self) -> bool {
        self.quantizers.as_ref().is_some_and(QuantizerTraining::has_own_parameters)
    }

    /// The range of each quantizer of activations: the tensor, and its limits where they are known.
    ///
    /// # Errors
    /// A value that was observed was not finite.
    pub fn ranges(&mut self) -> Result<Vec<NamedRange>, RunError> {
        self.settle()?;
        let quantizers = self.network.quant_graph().quantizers();
        Ok(quantizers.iter().map(|q| (q.tensor.clone(), q.range.map(|r| [r.min, r.max]))).collect())
    }

    fn mode_of(&self, pass: Pass) -> Mode {
        match pass {
            Pass::Float => Mode::FLOAT,
            Pass::Simulated => mode::evaluation(&self.recipe),
            Pass::Training => mode::training(&self.recipe, &self.freeze(), self.epoch),
        }
    }

    /// Sets the ranges that the training forward before observed: they hold from the next one on.
    fn settle(&mut self) -> Result<(), RunError> {
        let watching = self.watching();
        self.quantizers.as_ref().map_or(Ok(()), |quantizers| quantizers.apply(&mut self.network, watching))
    }

    fn begin_training(&mut self, calibrated: Option<crate::Ranges>) {
        self.quantizers = Some(QuantizerTraining::new(&self.recipe, &mut self.network, calibrated));
        self.forget_plans();
    }

    fn forget_plans(&mut self) {
        self.inference = Runner::new(Purpose::Inference);
        self.training = self.training_runner();
        (self.forward, self.has_gradients) = (None, false);
    }

    /// One without plans yet, which gives the gradients of inputs where they are wanted.
    fn training_runner(&self) -> Runner {
        let path = mode::gradient_path(&self.recipe);
        if self.input_gradients { Runner::with_input_gradients(path) } else { Runner::new(Purpose::Training(path)) }
    }

    fn graph(&self) -> &Graph {
        self.network.quant_graph().graph()
    }

    /// Writes the network as the settings' `[export]` says.
    ///
    /// # Errors
    /// As [`Session::export_as`].
    pub fn export(&mut self, path: &Path) -> Result<Vec<std::path::PathBuf>, RunError> {
        let export = *self.recipe.export();
        self.export_as(path, &export)
    }
}

fn ports(graph: &Graph, ids: &[TensorId]) -> Vec<Port> {
    let port = |&id: &TensorId| {
        let tensor = graph.tensor(id);
        Port { name: tensor.name.clone(), shape: tensor.shape.clone(), kind: graph.element_type(id) }
    };
    ids.iter().map(port).collect()
}

/// Runs on the session's own threads, where it has some.
fn on<R: Send>(pool: Option<&ThreadPool>, f: impl FnOnce() -> R + Send) -> R {
    match pool {
        Some(pool) => pool.install(f),
        None => f(),
    }
}
