//! Quantization-aware training as a library: recipes, calibration, training, export
