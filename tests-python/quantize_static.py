"""Makes QDQ files with ONNX Runtime's own quantizer, for `quantrain verify` to read.

    quantize_static.py --model efficientnet_lite0.onnx --data imagenet_sample_500.parquet --crop 224 224 --range byte --mean 127 --std 128 --out eff.qdq.onnx

Images are read as by onnxruntime_accuracy.py; the first --images of them calibrate.
"""

import argparse
import itertools
import os
import tempfile

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from onnxruntime_accuracy import centre_crop, parquet_samples


class Images(CalibrationDataReader):
    """One image a call, as the network's input."""

    def __init__(self, arguments):
        value = onnx.load(arguments.model, load_external_data=False).graph.input[0]
        mode = "L" if value.type.tensor_type.shape.dim[1].dim_value == 1 else "RGB"
        samples = itertools.islice(parquet_samples(arguments.data, 0, arguments.images, mode), arguments.images)
        white = np.float32(255 if arguments.range == "unit" else 1)
        mean, std = np.float32(arguments.mean), np.float32(arguments.std)

        def inputs():
            for pixels, _ in samples:
                pixels = centre_crop(pixels, arguments.crop) if arguments.crop else pixels
                x = (pixels.astype(np.float32) / white - mean) / std
                yield {value.name: np.ascontiguousarray(x.transpose(2, 0, 1)[None], dtype=np.float32)}

        self.inputs = inputs()

    def get_next(self):
        return next(self.inputs, None)


def quantize(arguments):
    with tempfile.TemporaryDirectory() as folder:
        prepared = os.path.join(folder, "prepared.onnx")
        quant_pre_process(arguments.model, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            arguments.out,
            Images(arguments),
            quant_format=QuantFormat.QDQ,
            per_channel=not arguments.per_tensor,
            reduce_range=arguments.reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def parse(words=None):
    """The arguments; `words` stands for the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="parquet file of images that calibrate")
    parser.add_argument("--images", type=int, default=64, help="so many of them, from the start")
    parser.add_argument("--out", required=True)
    parser.add_argument("--mean", type=float, nargs="+", default=[0.0])
    parser.add_argument("--std", type=float, nargs="+", default=[1.0])
    parser.add_argument("--range", choices=["unit", "byte"], default="unit")
    parser.add_argument("--crop", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--per-tensor", action="store_true", help="one weight scale a tensor, not one a channel")
    parser.add_argument("--reduce-range", action="store_true", help="weights of 7 bits")
    return parser.parse_args(words)


if __name__ == "__main__":
    quantize(parse())
