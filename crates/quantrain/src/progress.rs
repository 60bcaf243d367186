//! How long work tells of its advance; the command line draws bars from it.

/// Hears of the advance of one run.
pub trait Progress {
    /// A stage of `total` steps begins.
    fn begin(&mut self, stage: &str, total: u64);

    /// `steps` more are done; `note` says how it goes.
    fn advance(&mut self, steps: u64, note: &str);

    /// The stage is over.
    fn end(&mut self);

    /// A result on the way, such as the score of an epoch.
    fn tell(&mut self, _text: &str) {}

    /// Whether the user asked to stop; a run then stops after its batch, with a checkpoint written.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Says nothing.
impl Progress for () {
    fn begin(&mut self, _: &str, _: u64) {}

    fn advance(&mut self, _: u64, _: &str) {}

    fn end(&mut self) {}
}
