"""What ONNX Runtime's own quantizer makes of a network, calibrated on the same samples."""

import contextlib
import logging
import os

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Samples(CalibrationDataReader):
    """One sample a call."""

    def __init__(self, name, samples):
        self.inputs = iter([{name: sample[None]} for sample in samples])

    def get_next(self):
        return next(self.inputs, None)


def prepared(network, folder):
    """The network with its input's extents set, in an operator set that has scales of channels, and as quantize_static's page advises."""
    model = onnx.load(network.path)
    if model.opset_import[0].version < 13:
        model = onnx.version_converter.convert_version(model, 17)
    initializers = {tensor.name for tensor in model.graph.initializer}
    (given,) = [value for value in model.graph.input if value.name not in initializers]
    for dim, extent in zip(given.type.tensor_type.shape.dim, [1, *network.shape()]):
        dim.dim_value = extent
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    source, path = folder / "static.source.onnx", folder / "static.prepared.onnx"
    onnx.save(model, source)
    quant_pre_process(str(source), str(path), skip_symbolic_shape=True)
    return path


def quantized(network, folder, samples, reduce_range):
    """The path of the file that quantize_static writes with its defaults but for scales of channels: min-max, u8 activations, i8 weights."""
    out = folder / f"static.{7 if reduce_range else 8}.onnx"
    logging.disable(logging.WARNING)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        quantize_static(
            str(prepared(network, folder)),
            str(out),
            Samples(network.input, samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    logging.disable(logging.NOTSET)
    return out
