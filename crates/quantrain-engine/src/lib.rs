//! Runs a quantized graph forward and backward by a plan made ahead of time
