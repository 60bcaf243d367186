"""A loop of one's own against the command's trainer: the same images in the same order with the same loss give the same weights, bit for bit.

The trainer gets the loop's own loss: NumPy's cross entropy has other last bits than the recipe's, and a value falls to the other side of a rounding
sooner or later.
"""

import json

import numpy
import pytest
from conftest import MODEL, SHARED, cross_entropy

import quantrain

IMAGES = 64
MEAN, STD = 0.3, 0.4


def checkpoint(path) -> dict[str, numpy.ndarray]:
    """The tensors of a safetensors file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensor = lambda begin, end: numpy.frombuffer(data[8 + length + begin : 8 + length + end], numpy.float32)  # noqa: E731
    return {name: tensor(*entry["data_offsets"]) for name, entry in header.items()}


@pytest.mark.parametrize(
    "model, shape, steps, settings",
    [
        (MODEL, (28, 28), 4, {"target": "tidl-pow2"}),
        (MODEL, (28, 28), 4, {"target": "onnxruntime", "gradient_path": "float"}),
        (SHARED / "models" / "resnet20_cifar10.onnx", (32, 32, 3), 4, {"target": "tidl-pow2"}),
    ],
    ids=["fashion-w4", "fashion-float-path", "resnet20"],
)
def test_the_same_weights_as_the_commands(model, shape, steps, settings, tmp_path):
    if not model.exists():
        pytest.skip(f"{model} is not there")
    random = numpy.random.default_rng(1)
    pixels = random.integers(0, 256, (IMAGES, *shape)).astype(numpy.uint8)
    labels = random.integers(0, 10, IMAGES)
    numpy.savez(tmp_path / "data.npz", images=pixels, labels=labels)
    quantization = "".join(f"{key.replace('_', '-')} = {json.dumps(value)}\n" for key, value in settings.items() if key != "target")
    (tmp_path / "recipe.toml").write_text(
        f"model = '{model}'\ntarget = '{settings['target']}'\nout = 'run'\n[quantization]\n{quantization}[data]\ntrain = 'data.npz'\n"
        f"eval = 'data.npz'\nmean = [{MEAN}]\nstd = [{STD}]\ncalibration-images = {IMAGES}\n[train]\nepochs = {steps}\nbatch-size = {IMAGES}\n"
        "shuffle = false\nlearning-rate = 0.001\nschedule = 'constant'\n[export]\ncheckpoint = 'last'\ncheck = false\n"
    )

    def loss(outputs, batch):
        [(name, scores)] = outputs.items()
        value, gradient = cross_entropy(numpy.asarray(scores), numpy.asarray(batch.labels))
        return value, {name: gradient}

    quantrain.train(str(tmp_path / "recipe.toml"), loss=loss)
    expected = checkpoint(tmp_path / "run" / "checkpoints" / "last.safetensors")

    x = ((pixels.astype(numpy.float32) / 255 - numpy.float32(MEAN)) / numpy.float32(STD)).reshape(IMAGES, *shape[:2], -1).transpose(0, 3, 1, 2)
    net = quantrain.Network(model, **settings)
    net.calibrate([x])
    optimizer = quantrain.SGD(net, 0.001, weight_decay=1e-4)
    for step in range(steps):
        net.epoch(step, of=steps)
        loss, gradient = cross_entropy(net(x, train=True), labels)
        net.backward(gradient)
        optimizer.step()
    _, tensors = net._session.state()
    found = {name: numpy.asarray(values) for name, values in tensors}
    names = [name for name in expected if name.startswith("parameter/")]
    assert len(names) > 20
    for name in names:
        assert numpy.array_equal(found[name], expected[name].reshape(found[name].shape)), name
    start = quantrain.Network(model, **settings)
    moved = max(numpy.abs(start.state_dict()[n.removeprefix("parameter/")].ravel().sum() - expected[n].sum()) for n in names)
    assert moved > 1e-4, "training changed something"
