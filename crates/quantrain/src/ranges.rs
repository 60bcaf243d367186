//! The observers of a network's quantizers: they watch values pass and set ranges.

use quantrain_engine::{Monitor, Network, Want};
use quantrain_graph::{QuantizerId, Range};

use crate::observe::{Observer, ObserverKind, ObserverSettings, ObserverState};
use crate::{ObserveError, RunError};

/// One observer for each activation quantizer.
pub struct Ranges {
    observers: Vec<Box<dyn Observer>>,
    names: Vec<String>,
    /// Values below only mark places.
    below: Vec<Option<f32>>,
    /// Values outside are not told apart from those at its ends; empty where that is not known.
    reach: Vec<Range>,
    watching: bool,
    /// Images of the batch under way, and of all.
    batch: usize,
    images: u64,
}

impl Ranges {
    /// Fresh observers for the quantizers of `network`.
    pub fn new(network: &Network, settings: &ObserverSettings) -> Self {
        let quantizers = network.quant_graph().quantizers();
        let whole = ObserverSettings { kind: ObserverKind::MinMax, ..*settings };
        // A percentile takes what is rare for an outlier; where the largest value decides, it is what counts.
        let cuts = matches!(settings.kind, ObserverKind::Percentile | ObserverKind::Measured);
        let of = |decisive: bool| if decisive && cuts { &whole } else { settings };
        Ranges {
            observers: quantizers.iter().zip(network.quant_graph().decisive()).map(|(q, decisive)| of(decisive).build(&q.scheme)).collect(),
            names: quantizers.iter().map(|q| q.tensor.clone()).collect(),
            below: quantizers.iter().map(|q| q.below).collect(),
            reach: Vec::new(),
            watching: true,
            batch: 0,
            images: 0,
        }
    }

    /// Fresh observers that start from the ranges `network` has, which are those of so many images.
    pub fn continuing(network: &Network, settings: &ObserverSettings, images: u64) -> Self {
        let mut ranges = Ranges { images, ..Ranges::new(network, settings) };
        for (observer, q) in ranges.observers.iter_mut().zip(network.quant_graph().quantizers()) {
            if let Some(range) = q.range {
                observer.start_from(range, images);
            }
        }
        ranges
    }

    /// Leaves out of each range what lies beyond what its readers tell apart.
    pub(crate) fn limit_to(&mut self, reach: Vec<Range>) {
        self.reach = reach;
    }

    /// Images that were watched.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// Starts or stops watching.
    pub fn watch(&mut self, watching: bool) {
        self.watching = watching;
    }

    /// Lets every percentile keep another share of the values that it has seen.
    ///
    /// # Errors
    /// Never, as the states are the observers' own.
    pub(crate) fn keep_percent(&mut self, percentile: f32) -> Result<(), RunError> {
        for (observer, name) in self.observers.iter_mut().zip(&self.names) {
            if let ObserverState::Percentile(state) = observer.state() {
                let state = ObserverState::Percentile(state.keeping(percentile));
                observer.restore(state).map_err(|source| RunError::Range { tensor: name.clone(), source })?;
            }
        }
        Ok(())
    }

    /// Sets the ranges of `network` to what was observed.
    ///
    /// # Errors
    /// An observer saw nothing, or NaN or infinite values; the error names the tensor.
    pub fn apply(&self, network: &mut Network) -> Result<(), RunError> {
        let quantizers = network.quant_graph_mut().quantizers_mut().iter_mut();
        for (i, ((observer, name), q)) in self.observers.iter().zip(&self.names).zip(quantizers).enumerate() {
            let observed = observer.range().map_err(|source| RunError::Range { tensor: name.clone(), source })?;
            let range = q.range_for(observed);
            let within = |reach: &Range| Range { min: range.min.max(reach.min), max: range.max.min(reach.max) };
            q.range = Some(self.reach.get(i).map(within).filter(|cut| cut.min <= cut.max && q.levels.is_none()).unwrap_or(range));
        }
        Ok(())
    }

    /// What each observer remembers, by tensor.
    pub fn states(&self) -> Vec<(String, ObserverState)> {
        self.names.iter().cloned().zip(self.observers.iter().map(|o| o.state())).collect()
    }

    /// Goes on from remembered states.
    ///
    /// # Errors
    /// The states are of other observers or other tensors.
    pub fn restore(&mut self, states: Vec<(String, ObserverState)>) -> Result<(), RunError> {
        if !states.iter().map(|s| &s.0).eq(&self.names) {
            return Err(RunError::OtherNetwork { what: "observers" });
        }
        for (observer, (tensor, state)) in self.observers.iter_mut().zip(states) {
            observer.restore(state).map_err(|source: ObserveError| RunError::Range { tensor, source })?;
        }
        Ok(())
    }
}

impl Monitor for Ranges {
    fn begin(&mut self, images: usize) {
        self.batch = images;
        self.images += if self.watching { images as u64 } else { 0 };
    }

    fn want(&self, quantizer: QuantizerId) -> Want {
        match self.watching {
            false => Want::Nothing,
            true if self.below[quantizer.0].is_none() && self.observers[quantizer.0].needs_only_extrema(self.batch) => Want::Extrema,
            true => Want::Values,
        }
    }

    fn extrema(&mut self, quantizer: QuantizerId, min: f32, max: f32) {
        self.observers[quantizer.0].observe_extrema(Range { min, max }, self.batch);
    }

    fn values(&mut self, quantizer: QuantizerId, values: &[f32]) {
        let Some(below) = self.below[quantizer.0] else { return self.observers[quantizer.0].observe(values, self.batch) };
        // Image by image: what is left of them is of different lengths.
        for image in values.chunks(values.len().div_ceil(self.batch.max(1)).max(1)) {
            let left: Vec<f32> = image.iter().copied().filter(|v| *v >= below || v.is_nan()).collect();
            self.observers[quantizer.0].observe(&left, 1);
        }
    }
}
