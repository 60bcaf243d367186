//! A network in a training loop, for the package's `Network`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use quantrain::metric::{ByAnnotation, Metric, Score};
use quantrain::onnxruntime::Library;
use quantrain::recipe::{Export, ExportStyle};
use quantrain::{Feed, Labels, Pass, RunError, SessionState};

use crate::failure::{self, Kind, raise};
use crate::incoming::{Incoming, integers};
use crate::outgoing::Array;
use crate::settings;

/// A network with its float masters, quantizers and buffers.
#[pyclass(frozen, module = "quantrain._native")]
pub struct Session {
    inner: Mutex<quantrain::Session>,
    metric: Mutex<Option<ByAnnotation>>,
}

/// What is in a mutex, also after a panic of another thread: the exception has told of it.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A network's input or output: name and extents, `None` where the batch decides.
type PortRow = (String, Vec<Option<usize>>);

/// Feeds by name, read.
type Feeds = Vec<(String, Incoming)>;

/// Reads arrays by the names of inputs; `whole` are those that take integers or truths.
fn read_feeds(feeds: &Bound<'_, PyDict>, whole: &BTreeSet<String>) -> PyResult<Feeds> {
    let read = |(name, array): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let name: String = name.extract().map_err(|_| raise(Kind::Input, "inputs are fed by their names, which are strings"))?;
        let what = format!("input `{name}`");
        let array = if whole.contains(&name) { Incoming::whole(&array, &what) } else { Incoming::reals(&array, &what) }?;
        Ok((name, array))
    };
    feeds.iter().map(read).collect()
}

fn lent(feeds: &Feeds) -> Vec<(&str, Feed<'_>)> {
    feeds.iter().map(|(name, array)| (name.as_str(), array.feed())).collect()
}

fn pass_of(mode: &str) -> PyResult<Pass> {
    match mode {
        "train" => Ok(Pass::Training),
        "simulate" => Ok(Pass::Simulated),
        "float" => Ok(Pass::Float),
        other => Err(raise(Kind::Input, format!("mode `{other}` found, one of train, simulate, float expected"))),
    }
}

impl Session {
    /// The inputs that take integers or truths.
    fn whole(&self) -> BTreeSet<String> {
        let is_whole = |port: &quantrain::Port| port.kind.limits().is_some();
        self.with(|s| s.inputs().into_iter().filter(is_whole).map(|port| port.name).collect())
    }

    /// Calls `f` with the session, whose lock is held; without the interpreter's.
    pub fn with<R>(&self, f: impl FnOnce(&mut quantrain::Session) -> R) -> R {
        f(&mut locked(&self.inner))
    }

    fn run<R: Send>(&self, py: Python<'_>, f: impl FnOnce(&mut quantrain::Session) -> Result<R, RunError> + Send) -> PyResult<R> {
        py.detach(|| self.with(f)).map_err(failure::of)
    }
}

#[pymethods]
impl Session {
    /// Of a file, or of the bytes of one; `settings` are the keys of a recipe's [quantization], and target, threads, input_shape.
    #[new]
    #[pyo3(signature = (model, data, recipe, settings))]
    fn new(
        py: Python<'_>,
        model: Option<PathBuf>,
        data: Option<Vec<u8>>,
        recipe: Option<PathBuf>,
        settings: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let recipe = settings::recipe(model, recipe, settings)?;
        let opened = py.detach(|| match &data {
            Some(bytes) => quantrain::Session::of_bytes(recipe, bytes),
            None => quantrain::Session::open(recipe),
        });
        Ok(Session { inner: Mutex::new(opened.map_err(failure::of)?), metric: Mutex::new(None) })
    }

    /// Names and extents of the inputs.
    fn inputs(&self) -> Vec<PortRow> {
        self.with(|s| rows(s.inputs()))
    }

    /// Names and extents of the outputs.
    fn outputs(&self) -> Vec<PortRow> {
        self.with(|s| rows(s.outputs()))
    }

    /// The target's name.
    fn target(&self) -> String {
        self.with(|s| s.recipe().target().name().to_owned())
    }

    fn is_calibrated(&self) -> bool {
        self.with(|s| s.is_calibrated())
    }

    fn learns_ranges(&self) -> bool {
        self.with(|s| s.learns_ranges())
    }

    fn begin_calibration(&self) -> bool {
        self.with(|s| {
            s.begin_calibration();
            s.wants_samples()
        })
    }

    fn calibrate_on(&self, py: Python<'_>, feeds: &Bound<'_, PyDict>) -> PyResult<()> {
        let feeds = read_feeds(feeds, &self.whole())?;
        self.run(py, |s| s.calibrate_on(&lent(&feeds)))?;
        py.check_signals()
    }

    /// `None` where the samples are wanted once more; else their number, layers that got a BatchNormalization, and warnings.
    fn end_calibration_pass(&self, py: Python<'_>) -> PyResult<Option<(usize, usize, Vec<String>)>> {
        let report = self.run(py, |s| s.end_calibration_pass())?;
        Ok(report.map(|r| (r.images, r.restored, r.warnings.iter().map(ToString::to_string).collect())))
    }

    fn epoch(&self, py: Python<'_>, epoch: u32, of: u32) -> PyResult<()> {
        self.run(py, |s| s.epoch(epoch, of))
    }

    fn want_input_gradients(&self, wanted: bool) {
        self.with(|s| s.want_input_gradients(wanted));
    }

    fn forward(&self, py: Python<'_>, feeds: &Bound<'_, PyDict>, mode: &str) -> PyResult<Vec<Array>> {
        let (feeds, pass) = (read_feeds(feeds, &self.whole())?, pass_of(mode)?);
        let outputs = self.run(py, |s| s.forward(&lent(&feeds), pass))?;
        Ok(outputs.into_iter().map(Array::of).collect())
    }

    fn backward(&self, py: Python<'_>, gradients: Vec<Option<Bound<'_, PyAny>>>) -> PyResult<Vec<Array>> {
        let names: Vec<String> = self.with(|s| s.outputs().into_iter().map(|port| port.name).collect());
        let name = |i: usize| names.get(i).map_or_else(|| i.to_string(), |name| format!("`{name}`"));
        let read = |(i, gradient): (usize, &Option<Bound<'_, PyAny>>)| {
            gradient.as_ref().map(|g| Incoming::reals(g, &format!("gradient of output {}", name(i)))).transpose()
        };
        let gradients: Vec<Option<Incoming>> = gradients.iter().enumerate().map(read).collect::<PyResult<_>>()?;
        let found = self.run(py, |s| {
            let feeds: Vec<Option<Feed<'_>>> = gradients.iter().map(|g| g.as_ref().map(Incoming::feed)).collect();
            s.backward(&feeds)
        })?;
        Ok(found.into_iter().map(Array::of).collect())
    }

    /// Of every parameter: its name, a view of its value, and one of its gradient; copies where the order of axes has no strides.
    fn parameters(slf: &Bound<'_, Self>) -> PyResult<Vec<(String, Array, Array)>> {
        let session = slf.get();
        let owner = || slf.clone().unbind();
        session.with(|s| {
            let parameters = s.parameters().map_err(failure::of)?;
            let rows = parameters.into_iter().map(|p| match &p.layout.strides {
                Some(strides) => {
                    let view = |start: *mut f32| Array::view(owner(), start, p.layout.shape.clone(), strides.clone());
                    // Nothing is written through the gradient's view by this package; whoever does changes what an optimizer reads.
                    (p.layout.name.clone(), view(p.value.as_mut_ptr()), view(p.gradient.as_ptr().cast_mut()))
                }
                None => (p.layout.name.clone(), Array::of(p.tensor()), Array::of(p.gradient_tensor())),
            });
            Ok(rows.collect())
        })
    }

    /// Of every running statistic: its name, and a view of it.
    fn statistics(slf: &Bound<'_, Self>) -> PyResult<Vec<(String, Array)>> {
        let owner = || slf.clone().unbind();
        slf.get().with(|s| {
            let statistics = s.statistics().map_err(failure::of)?;
            let view = |values: &mut [f32]| Array::view(owner(), values.as_mut_ptr(), vec![values.len()], vec![1]);
            Ok(statistics.into_iter().map(|(name, values)| (name.to_owned(), view(values))).collect())
        })
    }

    /// Copies of parameters and statistics by name.
    fn masters(&self, py: Python<'_>) -> PyResult<Vec<(String, Array)>> {
        let masters = self.run(py, |s| s.masters())?;
        Ok(masters.into_iter().map(|(name, tensor)| (name, Array::of(tensor))).collect())
    }

    fn set_master(&self, py: Python<'_>, name: &str, array: &Bound<'_, PyAny>) -> PyResult<()> {
        let array = Incoming::reals(array, &format!("`{name}`"))?;
        let feed = array.feed();
        let mut values = feed.values.to_vec();
        if feed.channels_last {
            let [n, c, h, w] = [0, 1, 2, 3].map(|axis| array.shape[axis]);
            let at = |i: usize| ((i / (c * h * w) * h + i / w % h) * w + i % w) * c + i / (h * w) % c;
            values = (0..n * c * h * w).map(|i| feed.values[at(i)]).collect();
        }
        let tensor = quantrain::Tensor { shape: array.shape.clone(), values };
        self.run(py, |s| s.set_master(name, &tensor))
    }

    /// Of every quantizer of activations: the tensor and its limits.
    fn ranges(&self, py: Python<'_>) -> PyResult<Vec<(String, Option<[f32; 2]>)>> {
        self.run(py, |s| s.ranges())
    }

    /// Writes the network; gives the files written.
    #[pyo3(signature = (path, style=None, quantized_weights=None, encodings=None, opset=None, int4=None, uint8=None))]
    fn export(
        &self,
        py: Python<'_>,
        path: PathBuf,
        style: Option<&str>,
        quantized_weights: Option<bool>,
        encodings: Option<bool>,
        opset: Option<i64>,
        int4: Option<bool>,
        uint8: Option<bool>,
    ) -> PyResult<Vec<PathBuf>> {
        let style = style.map(str::parse::<ExportStyle>).transpose();
        let style = style.map_err(|error: quantrain::CheckError| raise(Kind::Recipe, format!("style: {error}")))?;
        self.run(py, |s| {
            let own = *s.recipe().export();
            let export = Export {
                style: style.unwrap_or(own.style),
                quantized_weights: quantized_weights.unwrap_or(own.quantized_weights),
                encodings: encodings.unwrap_or(own.encodings),
                opset: opset.or(own.opset),
                int4: int4.unwrap_or(own.int4),
                uint8: uint8.unwrap_or(own.uint8),
                ..own
            };
            s.export_as(&path, &export)
        })
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        self.run(py, |s| s.save(&path))
    }

    fn load(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        self.run(py, |s| s.load(&path))
    }

    /// All that the session remembers: text, and tensors by name.
    fn state(&self, py: Python<'_>) -> PyResult<(String, Vec<(String, Array)>)> {
        let state = self.run(py, |s| s.state())?;
        let memory = serde_json::to_string(&state.memory).map_err(unreadable)?;
        let array = |values: Vec<f32>| Array::of(quantrain::Tensor { shape: vec![values.len()], values });
        Ok((memory, state.tensors.into_iter().map(|(name, values)| (name, array(values))).collect()))
    }

    fn load_state(&self, py: Python<'_>, memory: &str, tensors: Vec<(String, Bound<'_, PyAny>)>) -> PyResult<()> {
        let read = |(name, array): (String, Bound<'_, PyAny>)| {
            let values = Incoming::reals(&array, &format!("`{name}`"))?.feed().values.to_vec();
            Ok((name, values))
        };
        let tensors = tensors.into_iter().map(read).collect::<PyResult<_>>()?;
        let memory = serde_json::from_str(memory).map_err(unreadable)?;
        self.run(py, |s| s.load_state(&SessionState { memory, tensors }))
    }

    fn begin_evaluation(&self, ignored: Option<i64>) {
        let mut metric = ByAnnotation::new(ignored, None);
        metric.start();
        *locked(&self.metric) = Some(metric);
    }

    /// Judges outputs by classes, `[N]`, or by a class for each pixel, `[N, H, W]`.
    fn evaluate_on(&self, py: Python<'_>, feeds: &Bound<'_, PyDict>, labels: &Bound<'_, PyAny>, mode: &str) -> PyResult<()> {
        let (feeds, pass) = (read_feeds(feeds, &self.whole())?, pass_of(mode)?);
        let (shape, classes) = integers(labels, "labels")?;
        let pixels: Vec<u8> = match shape.len() {
            3 => {
                let byte =
                    |&class: &i64| u8::try_from(class).map_err(|_| raise(Kind::Input, format!("label {class} found, 0 to 255 expected")));
                classes.iter().map(byte).collect::<PyResult<_>>()?
            }
            1 => Vec::new(),
            rank => return Err(raise(Kind::Input, format!("labels of {rank} axes found, [N] or [N, H, W] expected"))),
        };
        let images = feeds.first().and_then(|(_, array)| array.shape.first().copied()).unwrap_or(0);
        if shape[0] != images {
            return Err(raise(Kind::Input, format!("{} labels found for {images} images", shape[0])));
        }
        let labels =
            if shape.len() == 3 { Labels::Pixels { classes: &pixels, size: [shape[1], shape[2]] } } else { Labels::Classes(&classes) };
        let metric = &self.metric;
        self.run(py, |s| {
            let mut metric = locked(metric);
            let metric = metric.get_or_insert_with(|| ByAnnotation::new(None, None));
            s.judge(&lent(&feeds), labels, pass, metric)
        })?;
        py.check_signals()
    }

    /// What the evaluation found: figures by name, and the number of images.
    fn end_evaluation(&self) -> Option<(Vec<(String, f64)>, usize)> {
        let score = locked(&self.metric).take()?.score()?;
        let images = score.images();
        let figures = match score {
            Score::Accuracy(a) => vec![("top1".to_owned(), a.top1), ("top5".to_owned(), a.top5)],
            Score::Segmentation(s) => vec![("mean_iou".to_owned(), s.mean_iou), ("pixel_accuracy".to_owned(), s.pixel_accuracy)],
            other => vec![("value".to_owned(), other.value())],
        };
        Some((figures, images))
    }

    /// Compares the ways to run the exported file, and gives the counts in JSON.
    fn verify(&self, py: Python<'_>, samples: Vec<Bound<'_, PyDict>>, onnxruntime: Option<PathBuf>) -> PyResult<String> {
        let whole = self.whole();
        let samples: Vec<Feeds> = samples.iter().map(|feeds| read_feeds(feeds, &whole)).collect::<PyResult<_>>()?;
        let library = match &onnxruntime {
            None => Ok(None),
            Some(path) => Library::find(Some(path.as_path())),
        };
        let library = library.map_err(failure::of)?;
        let found = self.run(py, |s| s.verify(samples.iter().map(lent), library.as_ref()))?;
        serde_json::to_string(&found).map_err(unreadable)
    }
}

fn rows(ports: Vec<quantrain::Port>) -> Vec<PortRow> {
    ports.into_iter().map(|port| (port.name, port.shape.0.iter().map(|dim| dim.fixed()).collect())).collect()
}

fn unreadable(error: serde_json::Error) -> PyErr {
    raise(Kind::Checkpoint, format!("the state cannot be read or written: {error}"))
}
