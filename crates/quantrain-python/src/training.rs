//! The command `train` in this process, with a loss, a metric and a listener that are Python's.

use std::ffi::OsString;
use std::sync::{Arc, Mutex};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use quantrain::data::{Batch, BoundingBox};
use quantrain::loss::Loss;
use quantrain::metric::{Figure, Measured, Metric, Output, Score};
use quantrain::{LogLine, RunError};
use quantrain_cli::embedded::{self, Parts};
use quantrain_engine::in_memory_order;

use crate::failure::{Kind, raise};
use crate::incoming::Incoming;
use crate::outgoing::Array;
use crate::session::locked;

/// Runs the command `train` with these arguments, the program's name first; gives its report as JSON, or message and exit code of its failure.
#[pyfunction]
pub fn train(
    py: Python<'_>,
    arguments: Vec<OsString>,
    loss: Option<Py<PyAny>>,
    metric: Option<Py<PyAny>>,
    on_epoch: Option<Py<PyAny>>,
) -> PyResult<(String, u8)> {
    let raised = Raised::default();
    let called = |object| Called { object, raised: raised.clone() };
    let parts = Parts {
        loss: loss.map(|object| Box::new(PythonLoss(called(object))) as _),
        metric: metric.map(|object| Box::new(PythonMetric { called: called(object), images: 0 }) as _),
        on_epoch: on_epoch.map(|object| {
            let called = called(object);
            Box::new(move |line: &LogLine| called.run("on_epoch", |py| tell(py, &called.object, line))) as _
        }),
    };
    let done = py.detach(|| embedded::train(arguments, parts));
    match (locked(&raised.0).take(), done) {
        (Some(error), _) => Err(error),
        (None, Ok(report)) => Ok((report, 0)),
        (None, Err(failure)) => Ok((failure.message, failure.exit_code)),
    }
}

/// The first exception of a function of Python's, which ends the training and is raised behind it.
#[derive(Clone, Default)]
struct Raised(Arc<Mutex<Option<PyErr>>>);

/// A function, or an object with methods.
struct Called {
    object: Py<PyAny>,
    raised: Raised,
}

impl Called {
    /// Calls Python; `what` names the caller's part in errors.
    fn run<R>(&self, what: &str, f: impl FnOnce(Python<'_>) -> PyResult<R>) -> Result<R, RunError> {
        Python::attach(f).map_err(|error| {
            let message = format!("{what}: {error}");
            locked(&self.raised.0).get_or_insert(error);
            RunError::Metric { message }
        })
    }
}

struct PythonLoss(Called);

impl Loss for PythonLoss {
    fn loss(&mut self, batch: &Batch, outputs: &[Output<'_>], gradients: &mut [Vec<f32>]) -> Result<f32, RunError> {
        self.0.run("loss", |py| {
            let answer = self.0.object.bind(py).call1((arrays(py, outputs)?, batch_of(py, batch)?))?;
            let wrong = |_| raise(Kind::Input, "loss: another value found, a pair of the loss and its gradients expected");
            let (loss, given): (Bound<'_, PyAny>, Bound<'_, PyAny>) = answer.extract().map_err(wrong)?;
            for (output, gradient) in outputs.iter().zip(gradients) {
                take_gradient(&given, output, outputs.len() == 1, gradient)?;
            }
            loss.call_method0("__float__")?.extract()
        })
    }
}

/// Writes the gradient of one output: an entry of a dictionary by the outputs' names, or the only one.
fn take_gradient(given: &Bound<'_, PyAny>, output: &Output<'_>, is_only: bool, gradient: &mut Vec<f32>) -> PyResult<()> {
    let what = format!("gradient of `{}`", output.name);
    let array = match given.cast::<PyDict>() {
        Ok(by_name) => by_name.get_item(output.name)?,
        Err(_) if is_only => Some(given.clone()),
        Err(_) => return Err(raise(Kind::Input, "loss: one array of gradients found, a dictionary by the names of the outputs expected")),
    };
    // An output that is not in it takes no part in the loss.
    let Some(array) = array else { return Ok(()) };
    let array = Incoming::reals(&array, &what)?;
    let feed = array.feed();
    let expected = in_onnx_order(output.shape);
    if feed.shape != expected {
        return Err(raise(Kind::Input, format!("{what}: shape {:?} found, {expected:?} expected", feed.shape)));
    }
    match feed.shape.len() == 4 && !feed.channels_last {
        true => in_memory_order(feed.shape, feed.values, gradient),
        false => gradient.copy_from_slice(feed.values),
    }
    Ok(())
}

struct PythonMetric {
    called: Called,
    images: usize,
}

impl Metric for PythonMetric {
    fn start(&mut self) {
        self.images = 0;
        // What it raises is kept, and ends the training at the next batch.
        let _ = self.called.run("metric", |py| self.called.object.call_method0(py, "reset"));
    }

    fn add(&mut self, batch: &Batch, outputs: &[Output<'_>]) -> Result<(), RunError> {
        self.images += batch.size;
        if let Some(error) = &*locked(&self.called.raised.0) {
            return Err(RunError::Metric { message: error.to_string() });
        }
        self.called
            .run("metric", |py| self.called.object.bind(py).call_method1("update", (arrays(py, outputs)?, batch_of(py, batch)?)).map(drop))
    }

    fn score(&self) -> Option<Score> {
        let figures = self.called.run("metric", |py| {
            let value = self.called.object.bind(py).call_method0("compute")?;
            match value.cast::<PyDict>() {
                Ok(figures) => figures.iter().map(|(name, value)| Ok(Figure { name: name.extract()?, value: real(&value)? })).collect(),
                Err(_) => Ok(vec![Figure { name: "score".into(), value: real(&value)? }]),
            }
        });
        Some(Score::Measured(Measured { figures: figures.ok()?, images: self.images }))
    }
}

fn real(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    value.call_method0("__float__")?.extract()
}

/// Extents as in ONNX of extents in memory.
fn in_onnx_order(extents: &[usize]) -> Vec<usize> {
    match *extents {
        [n, h, w, c] => vec![n, c, h, w],
        ref other => other.to_vec(),
    }
}

/// The outputs by name.
fn arrays<'py>(py: Python<'py>, outputs: &[Output<'_>]) -> PyResult<Bound<'py, PyDict>> {
    let arrays = PyDict::new(py);
    for output in outputs {
        arrays.set_item(output.name, Array::of_memory_order(output.shape, output.values.to_vec()))?;
    }
    Ok(arrays)
}

/// What is known of the samples of a batch, as `quantrain.Batch`.
fn batch_of<'py>(py: Python<'py>, batch: &Batch) -> PyResult<Bound<'py, PyAny>> {
    let masks = batch.masks.as_ref().map(|masks| (PyBytes::new(py, masks), (batch.size, batch.height, batch.width)));
    let boxes = batch.boxes.as_ref().map(|all| {
        let row = |b: &BoundingBox| (b.left, b.top, b.right, b.bottom, b.class);
        all.iter().map(|boxes| boxes.iter().map(row).collect::<Vec<_>>()).collect::<Vec<_>>()
    });
    let labels = PyTuple::new(py, &batch.labels)?;
    py.import("quantrain.batch")?.getattr("of_native")?.call1((batch.size, labels, masks, boxes, PyTuple::new(py, &batch.indices)?))
}

/// Calls a listener with the line of the log.
fn tell(py: Python<'_>, listener: &Py<PyAny>, line: &LogLine) -> PyResult<()> {
    let text = serde_json::to_string(line).map_err(|error| raise(Kind::Input, error.to_string()))?;
    let line = py.import("json")?.call_method1("loads", (text,))?;
    listener.call1(py, (line,)).map(drop)
}
