"""Whatever is wrong is an exception that names it, of quantrain's tree and of Python's own kinds."""

import numpy
import pytest
from conftest import EXAMPLE, MODEL

import quantrain


@pytest.fixture(scope="module")
def net(images):
    net = quantrain.Network(MODEL)
    net.calibrate([images])
    return net


SETTINGS = [
    ({"weight_bit": 4}, quantrain.RecipeError, "did you mean `weight_bits`"),
    ({"weight_bits": 3.5}, quantrain.RecipeError, "weight-bits"),
    ({"weight_bits": 99}, quantrain.RecipeError, "weight-bits"),
    ({"observer": "percentil"}, quantrain.RecipeError, "percentile"),
    ({"percentile": 10.0}, quantrain.RecipeError, "percentile"),
    ({"target": "tidl"}, quantrain.RecipeError, "tidl-pow2"),
    ({"layer": [{"name": "x", "bits": 3}]}, quantrain.RecipeError, "bits"),
    ({"layer": [{"name": "no-such-layer", "float": True}]}, quantrain.ModelError, "no-such-layer"),
    ({"weight_bits": object()}, quantrain.RecipeError, "weight_bits"),
    ({"threads": 100000}, quantrain.RecipeError, "threads"),
]


@pytest.mark.parametrize("settings, kind, words", SETTINGS)
def test_settings(settings, kind, words):
    with pytest.raises(kind, match=words) as caught:
        quantrain.Network(MODEL, **settings)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, quantrain.QuantrainError)


def test_files(tmp_path, images):
    with pytest.raises(FileNotFoundError, match="missing.onnx") as caught:
        quantrain.Network(tmp_path / "missing.onnx")
    assert isinstance(caught.value, quantrain.QuantrainError)
    with pytest.raises(FileNotFoundError, match="missing.toml"):
        quantrain.Network(recipe=tmp_path / "missing.toml")
    with pytest.raises(quantrain.RecipeError, match="model"):
        quantrain.Network()
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(quantrain.ModelError, match="broken.onnx"):
        quantrain.Network(tmp_path / "broken.onnx")
    with pytest.raises(quantrain.ModelError):
        quantrain.Network(b"no network")
    with pytest.raises(quantrain.ModelError):
        quantrain.Network(MODEL.read_bytes()[:-1000])
    with pytest.raises(OSError):
        quantrain.Network(EXAMPLE)
    net = quantrain.Network(MODEL)
    with pytest.raises(quantrain.QuantrainError, match="calibrate"):
        net.export(tmp_path / "model.onnx")
    net.calibrate([images])
    with pytest.raises(OSError):
        net.export(tmp_path / "no" / "folder" / "model.onnx")
    with pytest.raises(quantrain.RecipeError, match="style"):
        net.export(tmp_path / "model.onnx", style="webp")
    (tmp_path / "state").write_bytes(b"no state")
    with pytest.raises(quantrain.CheckpointError, match="state"):
        net.load(tmp_path / "state")
    with pytest.raises(FileNotFoundError, match="nothing"):
        net.load(tmp_path / "nothing")


FEEDS = [
    (lambda x: {"imgae": x}, "imgae"),
    (lambda x: {}, "is not fed"),
    (lambda x: x[:, :, :20], r"\[8, 1, 20, 28\] found"),
    (lambda x: x[0], r"\[1, 28, 28\] found"),
    (lambda x: x[:0], r"\[0, 1, 28, 28\] found"),
    (lambda x: (x * 255).astype(numpy.uint8), "uint8 found, float32 expected"),
    (lambda x: x.astype(complex), "complex128 found"),
    (lambda x: x.astype(">f4"), ">f4 found"),
    (lambda x: x.tolist(), "arrays found"),
    (lambda x: None, "NoneType found"),
    (lambda x: "image", "str found"),
    (lambda x: (x, x), "2 arrays found"),
    (lambda x: {0: x}, "strings"),
]


@pytest.mark.parametrize("make, words", FEEDS)
def test_feeds(net, images, make, words):
    with pytest.raises(quantrain.InputError, match=words):
        net(make(images[:8]))
    with pytest.raises(quantrain.InputError, match=words):
        quantrain.Network(MODEL).calibrate([make(images[:8])])


def test_calibration(images):
    net = quantrain.Network(MODEL)
    with pytest.raises(quantrain.StateError, match="calibrate"):
        net(images)
    with pytest.raises(quantrain.InputError, match="no image"):
        net.calibrate([])
    with pytest.raises(quantrain.InputError, match="same"):
        net.calibrate([numpy.zeros((8, 1, 28, 28), numpy.float32)])
    with pytest.raises(quantrain.QuantrainError, match="NaN"):
        net.calibrate([numpy.full((8, 1, 28, 28), numpy.nan, numpy.float32)])
    with pytest.raises(ZeroDivisionError):
        net.calibrate(1 / 0 for _ in range(1))
    net.calibrate([images])
    assert net(images).shape == (96, 10), "what failed before leaves nothing behind"


def test_backward(net, images):
    optimizer = quantrain.SGD(net, 0.1)
    y = net(images[:8])
    with pytest.raises(quantrain.StateError, match="without a forward in training"):
        net.backward(y)
    for gradient, kind, words in [
        (y[:4], quantrain.InputError, r"\[4, 10\] found"),
        (y.astype(int), quantrain.InputError, "int64 found"),
        ([y, y], quantrain.InputError, "2 gradients found"),
        ({"score": y}, quantrain.InputError, "no output is named `score`"),
        (numpy.full_like(y, numpy.nan), quantrain.NumericError, "is the loss finite"),
    ]:
        net(images[:8], train=True)
        with pytest.raises(kind, match=words):
            net.backward(gradient)
    with pytest.raises(quantrain.StateError, match="without a backward"):
        optimizer.step()
    net(images[:8], train=True)
    net.backward(y)
    with pytest.raises(quantrain.StateError):
        net.backward(y)
    net(images[:8], train=True)
    net(images[:8])
    with pytest.raises(quantrain.StateError):
        net.backward(y)


def test_the_rest(net, images, labels):
    with pytest.raises(quantrain.RecipeError, match="epoch 5 of 5"):
        net.epoch(5, of=5)
    with pytest.raises(quantrain.InputError, match="mode"):
        net.forward(images, "trian")
    with pytest.raises(quantrain.InputError, match="95 labels found for 96"):
        net.evaluate(images, labels[:95])
    with pytest.raises(quantrain.InputError, match="label 10 found"):
        net.evaluate(images[:1], numpy.array([10]))
    with pytest.raises(quantrain.InputError, match="whole numbers"):
        net.evaluate(images[:1], numpy.array([0.5]))
    with pytest.raises(quantrain.InputError):
        net.evaluate([])
    with pytest.raises(quantrain.RecipeError, match="momentum"):
        quantrain.SGD(net, 0.1, momentum=1.5)
    net(images[:8], train=True)
    net.backward(net.forward(images[:8], "train")[0])
    with pytest.raises(quantrain.RecipeError, match="rate"):
        quantrain.SGD(net, float("nan")).step()
    with pytest.raises(TypeError, match="save"):
        import pickle

        pickle.dumps(net)
    with pytest.raises(quantrain.StateError, match="not quantized"):
        quantrain.Network(MODEL, enabled=False).verify(images)
    with pytest.raises(quantrain.InputError):
        net.load_state_dict({name: value[:0] for name, value in net.state_dict().items()})
