//! Reads ONNX files into a graph and writes quantized networks back
