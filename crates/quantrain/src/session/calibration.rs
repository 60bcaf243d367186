//! Ranges from samples of the caller's.

use quantrain_engine::Network;

use super::tensor::{Fed, Feed};
use super::{Session, SessionError, on};
use crate::calibrate::{Calibration, CalibrationPass};
use crate::restore::LayerStatistics;
use crate::{RunError, Warning};

/// What a calibration has seen.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationReport {
    /// Number of samples.
    pub images: usize,
    /// Layers that got a BatchNormalization.
    pub restored: usize,
    /// What the caller should know of the samples.
    pub warnings: Vec<Warning>,
}

/// What the samples are run for.
pub(super) enum Calibrating {
    /// Statistics of layers that get a BatchNormalization.
    Statistics(Box<LayerStatistics>),
    /// Ranges.
    Ranges(Box<CalibrationPass>),
}

impl Session {
    /// Sets the range of every quantizer from samples, which are asked for once, and up to two times more where layers get a BatchNormalization
    /// (`restore-batch-norm`) or quantizers are placed apart. The float network runs; labels are not needed. Ranges of a file that is quantized
    /// already stay, and so does a network that is not quantized; then nothing is asked for.
    ///
    /// # Errors
    /// A sample does not fit, there is none, all values of an image network's input are the same, or values are NaN or infinite.
    pub fn calibrate<'f, I>(&mut self, mut samples: impl FnMut() -> I) -> Result<CalibrationReport, RunError>
    where
        I: IntoIterator<Item = Vec<(&'f str, Feed<'f>)>>,
    {
        self.begin_calibration();
        loop {
            if self.wants_samples() {
                for feeds in samples() {
                    self.calibrate_on(&feeds)?;
                }
            }
            if let Some(report) = self.end_calibration_pass()? {
                return Ok(report);
            }
        }
    }

    /// Begins a calibration whose samples come one call at a time: [`Session::calibrate_on`] for each, then
    /// [`Session::end_calibration_pass`], and the same again while that gives `None`.
    pub fn begin_calibration(&mut self) {
        (self.forward, self.has_gradients) = (None, false);
        self.calibrating = if self.keeps_ranges() {
            None
        } else if self.layers_to_restore() > 0 {
            Some(Calibrating::Statistics(Box::new(LayerStatistics::new(self.graph().clone()))))
        } else {
            Some(self.ranges_pass())
        };
    }

    /// Whether a calibration needs samples: not where ranges are the file's own, or there are no quantizers.
    pub fn wants_samples(&self) -> bool {
        !self.keeps_ranges()
    }

    /// Runs samples of a calibration.
    ///
    /// # Errors
    /// No calibration was begun, or the samples do not fit the network.
    pub fn calibrate_on(&mut self, feeds: &[(&str, Feed<'_>)]) -> Result<(), RunError> {
        let fed = Fed::new(self.graph(), feeds)?;
        let Session { network, calibrating, pool, .. } = self;
        let slices = fed.slices();
        let calibrating = calibrating.as_mut().ok_or(SessionError::NoCalibration)?;
        on(pool.as_ref(), || match calibrating {
            Calibrating::Statistics(statistics) => statistics.add(fed.batch, &slices),
            Calibrating::Ranges(pass) => pass.observe(network, fed.batch, &slices),
        })
    }

    /// Ends a pass over the samples: `None` where they are wanted once more.
    ///
    /// # Errors
    /// There was no sample, all values of an image network's input were the same, or values were NaN or infinite.
    pub fn end_calibration_pass(&mut self) -> Result<Option<CalibrationReport>, RunError> {
        let restored = |session: &Session| session.graph().nodes().len() - session.model.graph.nodes().len();
        match self.calibrating.take() {
            None if self.keeps_ranges() => {
                if self.quantizers.is_none() {
                    self.begin_training(None);
                }
                Ok(Some(CalibrationReport { images: 0, restored: restored(self), warnings: Vec::new() }))
            }
            None => Err(SessionError::NoCalibration.into()),
            Some(Calibrating::Statistics(statistics)) => {
                self.network = Network::new(self.model.place(&self.recipe, statistics.restored()?)?);
                self.restored = true;
                self.forget_plans();
                self.calibrating = Some(self.ranges_pass());
                Ok(None)
            }
            Some(Calibrating::Ranges(pass)) => match pass.finish(&mut self.network)? {
                Calibration::Again(pass) => {
                    self.forget_plans();
                    self.calibrating = Some(Calibrating::Ranges(pass));
                    Ok(None)
                }
                Calibration::Done(calibrated) => {
                    self.begin_training(Some(calibrated.ranges));
                    Ok(Some(CalibrationReport { images: calibrated.images, restored: restored(self), warnings: calibrated.warnings }))
                }
            },
        }
    }

    fn ranges_pass(&self) -> Calibrating {
        Calibrating::Ranges(Box::new(CalibrationPass::new(&self.network, &self.recipe.quantization().observer)))
    }

    fn keeps_ranges(&self) -> bool {
        !self.recipe.quantization().enabled || self.model.is_quantized()
    }

    /// Layers that get a BatchNormalization when the network is calibrated.
    pub fn layers_to_restore(&self) -> usize {
        let quantization = self.recipe.quantization();
        let wanted = quantization.enabled && quantization.restore_batch_norm && !self.keeps_ranges();
        if wanted { self.graph().not_normalized().len() } else { 0 }
    }
}
