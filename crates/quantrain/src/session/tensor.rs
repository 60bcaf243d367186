//! Values at a session's border: extents and order of axes as in ONNX.

use std::borrow::Cow;

use quantrain_engine::{in_memory_order, in_onnx_order};
use quantrain_graph::{Dim, Graph, Shape};

use super::SessionError;
use crate::recipe::nearest;

/// Values with their extents, as in ONNX: an image is `[N, C, H, W]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Vec<f32>,
}

/// A tensor that somebody else owns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feed<'a> {
    /// Extents, as in ONNX.
    pub shape: &'a [usize],
    /// Values, row-major in the order of the extents, or as `channels_last` says.
    pub values: &'a [f32],
    /// Of four extents `[N, C, H, W]`, the values lie as `[N, H, W, C]`; that is how a session keeps them, so they are taken without a copy.
    pub channels_last: bool,
}

impl<'a> Feed<'a> {
    /// Values in the order of their extents.
    pub fn new(shape: &'a [usize], values: &'a [f32]) -> Self {
        Feed { shape, values, channels_last: false }
    }

    /// The values as a network has them in memory.
    fn in_memory_order(self) -> Cow<'a, [f32]> {
        if self.shape.len() != 4 || self.channels_last {
            return Cow::Borrowed(self.values);
        }
        let mut ordered = Vec::new();
        in_memory_order(self.shape, self.values, &mut ordered);
        Cow::Owned(ordered)
    }
}

impl<'a> From<&'a Tensor> for Feed<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Feed::new(&tensor.shape, &tensor.values)
    }
}

impl Tensor {
    /// Of values as they lie in memory.
    pub(super) fn of_memory_order(shape: Vec<usize>, values: &[f32]) -> Self {
        let mut ordered = Vec::new();
        in_onnx_order(&shape, values, &mut ordered);
        Tensor { shape, values: ordered }
    }
}

/// What a network is fed with: the batch size, and of each input its values as they lie in memory.
pub(super) struct Fed<'a> {
    pub batch: usize,
    pub values: Vec<Cow<'a, [f32]>>,
}

impl<'a> Fed<'a> {
    /// Checks feeds, given by the names of inputs in any order, and brings them into the network's order.
    pub fn new(graph: &Graph, feeds: &[(&str, Feed<'a>)]) -> Result<Self, SessionError> {
        let inputs = || graph.inputs().iter().map(|&t| graph.tensor(t));
        for (i, (name, _)) in feeds.iter().enumerate() {
            if !inputs().any(|input| input.name == *name) {
                let inputs: Vec<String> = inputs().map(|input| input.name.clone()).collect();
                let meant = nearest(name, inputs.iter().map(String::as_str)).map(str::to_owned);
                return Err(SessionError::UnknownInput { name: (*name).into(), inputs, meant });
            }
            if feeds[..i].iter().any(|(other, _)| other == name) {
                return Err(SessionError::RepeatedInput { name: (*name).into() });
            }
        }
        let mut batch = None;
        let mut ordered = Vec::with_capacity(graph.inputs().len());
        for input in inputs() {
            let found = feeds.iter().find(|(name, _)| *name == input.name);
            let (_, feed) = found.ok_or_else(|| SessionError::MissingInput { name: input.name.clone() })?;
            let wrong = || SessionError::Shape {
                what: format!("input `{}`", input.name),
                found: feed.shape.to_vec(),
                expected: input.shape.to_string(),
            };
            check(&input.shape, feed, &mut batch).ok_or_else(wrong)?;
            ordered.push(*feed);
        }
        // A network whose extents are all fixed has its batch in the first of them.
        let fixed = || graph.inputs().first().and_then(|&t| graph.tensor(t).shape.0.first()?.fixed()).unwrap_or(1);
        Ok(Fed { batch: batch.unwrap_or_else(fixed), values: ordered.into_iter().map(Feed::in_memory_order).collect() })
    }

    /// The values of each input.
    pub fn slices(&self) -> Vec<&[f32]> {
        self.values.iter().map(|values| &**values).collect()
    }
}

/// Whether a feed has a shape, for a batch that all inputs agree on.
fn check(shape: &Shape, feed: &Feed<'_>, batch: &mut Option<usize>) -> Option<()> {
    let fits = |dim: &Dim, extent: usize, batch: &mut Option<usize>| match *dim {
        Dim::Fixed(n) => n == extent,
        Dim::Batch(k) => extent > 0 && extent.is_multiple_of(k) && *batch.get_or_insert(extent / k) == extent / k,
    };
    let all = shape.rank() == feed.shape.len() && shape.0.iter().zip(feed.shape).all(|(dim, &extent)| fits(dim, extent, batch));
    (all && feed.shape.iter().product::<usize>() == feed.values.len()).then_some(())
}

/// The gradient of an output as it lies in memory; zeros where there is none.
pub(super) fn gradient<'a>(name: &str, shape: &[usize], given: Option<Feed<'a>>) -> Result<Cow<'a, [f32]>, SessionError> {
    let count = shape.iter().product();
    let Some(feed) = given else { return Ok(Cow::Owned(vec![0.0; count])) };
    if feed.shape != shape || feed.values.len() != count {
        let what = format!("gradient of output `{name}`");
        return Err(SessionError::Shape { what, found: feed.shape.to_vec(), expected: format!("{shape:?}") });
    }
    match feed.values.iter().all(|v| v.is_finite()) {
        true => Ok(feed.in_memory_order()),
        false => Err(SessionError::NotFinite { output: name.into() }),
    }
}
