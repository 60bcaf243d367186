//! Files of a session's network.

use std::path::{Path, PathBuf};

use super::Session;
use crate::RunError;
use crate::export::{ExportFiles, write_network};
use crate::recipe::Export;

impl Session {
    /// Writes the network to `path` as `export` says, beside it with the file's stem what else it names: TIDL's import settings, encodings.
    /// Gives the files written. A network that is not quantized is written in float.
    ///
    /// # Errors
    /// The network is not calibrated, a bias does not fit, or a file cannot be written.
    pub fn export_as(&mut self, path: &Path, export: &Export) -> Result<Vec<PathBuf>, RunError> {
        let quantized = self.recipe.quantization().enabled;
        let files = ExportFiles {
            model: path.to_owned(),
            import_settings: path.with_extension("tidl-import.txt"),
            encodings: path.with_extension("encodings.json"),
        };
        write_network(self.quant_graph()?, files, export, quantized)
    }
}
