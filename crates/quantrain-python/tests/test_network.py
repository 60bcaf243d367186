"""A network without PyTorch: values, gradients, training, files."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
from conftest import EXAMPLE, MODEL, cross_entropy

import quantrain


def calibrated(images, **settings) -> quantrain.Network:
    net = quantrain.Network(MODEL, target="tidl-pow2", **settings)
    net.calibrate([images])
    return net


def test_import_needs_neither_numpy_nor_torch():
    code = "import sys, quantrain; print(sorted({'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"


def test_a_network_tells_what_it_takes_and_gives(images):
    net = quantrain.Network(MODEL)
    assert [port.shape for port in net.inputs] == [(None, 1, 28, 28)]
    assert [port.shape for port in net.outputs] == [(None, 10)]
    assert (net.target, net.calibrated) == ("onnxruntime", False)
    found = net.calibrate(images[i : i + 32] for i in range(0, 96, 32))
    assert (found.images, found.restored_batch_norm, net.calibrated) == (96, 0, True)
    assert all(low <= high for low, high in net.ranges.values())
    assert "weight_bits" in quantrain.settings() and "model" not in quantrain.settings()


def test_float_forward_is_onnx_runtimes(images):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(MODEL))
    expected = session.run(None, {session.get_inputs()[0].name: images[:16]})[0]
    found = quantrain.Network(MODEL).forward(images[:16], "float")[0]
    assert numpy.abs(found - expected).max() < 1e-4 * numpy.abs(expected).max()


def test_the_exported_file_gives_the_simulations_codes_in_onnx_runtime(images, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    net = quantrain.Network(MODEL)
    net.calibrate([images])
    (file,) = net.export(tmp_path / "model.qdq.onnx")
    session = onnxruntime.InferenceSession(file)
    expected = session.run(None, {session.get_inputs()[0].name: images})[0]
    assert numpy.array_equal(net(images), expected), "0 codes differ"
    found = net.verify(images)
    assert found.exact and found.differ_onnxruntime == 0 and found.images == 96


def test_gradients_are_derivatives(images):
    net = quantrain.Network(MODEL, enabled=False, batch_norm="frozen")
    net.calibrate([])
    x = images[:4].copy()
    direction = numpy.linspace(-1, 1, 40, dtype=numpy.float32).reshape(4, 10)

    def value() -> float:
        return float((net.forward(x, "train")[0].astype(numpy.float64) * direction).sum())

    net.forward(x, "train", input_gradients=True)
    (of_input,) = net.backward(direction)
    assert of_input.shape == x.shape
    gradients = {name: gradient.copy() for name, gradient in net.gradients().items()}
    arrays = [(x, of_input), *((weight, gradients[name]) for name, weight in net.parameters().items())]
    for array, gradient in arrays:
        assert array.shape == gradient.shape
        # Along the gradient itself the derivative is its norm; a step of many values passes few kinks of clips at once.
        norm = numpy.linalg.norm(gradient)
        kept, step = array.copy(), 2e-3
        array[...] = kept + step * gradient / norm
        above = value()
        array[...] = kept - step * gradient / norm
        difference = (above - value()) / (2 * step)
        array[...] = kept
        assert abs(difference - norm) < 0.03 * norm


@pytest.mark.parametrize("optimizer", [quantrain.SGD, quantrain.Adam, quantrain.AdamW])
def test_a_loop_of_ones_own_learns(images, labels, optimizer):
    net = calibrated(images, weight_bits=6)
    steps = optimizer(net, 0.002 if optimizer is quantrain.SGD else 0.001)
    losses = []
    for epoch in range(6):
        net.epoch(epoch, of=6)
        for i in range(0, 96, 32):
            loss, gradient = cross_entropy(net(images[i : i + 32], train=True), labels[i : i + 32])
            net.backward(gradient)
            assert steps.step() > 0
            losses.append(loss)
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3]), losses
    assert net.evaluate(images, labels).images == 96
    assert net.evaluate([(images[:48], labels[:48]), (images[48:], labels[48:])]) == net.evaluate(images, labels)


def test_learned_ranges_move(images, labels):
    net = calibrated(images, weight_bits=4, activation_bits=4, learn_ranges="tqt", observer="mean-squared-error")
    before = dict(net.ranges)
    optimizer = quantrain.Adam(net, 0.05)
    _, gradient = cross_entropy(net(images[:32], train=True), labels[:32])
    net.backward(gradient)
    optimizer.step()
    assert before != net.ranges


def test_parameters_are_views(images):
    net = calibrated(images)
    before = net(images[:2])
    weights = net.parameters()
    name = next(name for name, value in weights.items() if value.ndim == 4)
    kept = weights[name].copy()
    weights[name] *= 2
    assert not numpy.array_equal(net(images[:2]), before)
    assert numpy.array_equal(net.state_dict()[name], 2 * kept)
    weights[name][:] = kept
    assert numpy.array_equal(net(images[:2]), before)
    del net
    assert numpy.array_equal(weights[name], kept), "a view keeps the network's memory"


def test_state_dict_goes_there_and_back(images):
    net, other = calibrated(images), calibrated(images)
    changed = {name: value * numpy.float32(0.9) for name, value in net.state_dict().items()}
    other.load_state_dict(changed)
    assert all(numpy.array_equal(value, changed[name]) for name, value in other.state_dict().items())
    with pytest.raises(quantrain.InputError, match="did you mean"):
        other.load_state_dict({**changed, next(iter(changed)) + "x": numpy.zeros(1, numpy.float32)})
    with pytest.raises(quantrain.InputError, match="missing"):
        other.load_state_dict({})


def test_a_saved_network_goes_on_with_the_same_bits(images, labels, tmp_path):
    def step(net, i):
        loss, gradient = cross_entropy(net(images[i : i + 32], train=True), labels[i : i + 32])
        net.backward(gradient)
        quantrain.SGD(net, 0.01, momentum=0).step()
        return loss

    net = calibrated(images)
    step(net, 0)
    net.save(tmp_path / "state")
    other, copied = quantrain.Network(MODEL, target="tidl-pow2"), net.copy()
    other.load(tmp_path / "state")
    assert step(net, 32) == step(other, 32) == step(copied, 32)
    assert step(net, 64) == step(other, 64) == step(copied, 64)
    with pytest.raises(quantrain.CheckpointError):
        quantrain.Network(MODEL, target="onnxruntime").load(tmp_path / "state")


def test_arrays_of_any_layout_and_precision(images):
    net = calibrated(images)
    x = images[:8]
    expected = net(x)
    readonly = x.copy()
    readonly.flags.writeable = False
    for other in [
        x.astype(numpy.float64),
        numpy.asfortranarray(x),
        numpy.repeat(x, 2, axis=0)[::2],
        x[::-1][::-1],
        readonly,
        {net.inputs[0].name: x},
        (x,),
    ]:
        assert numpy.array_equal(net(other), expected)
    halves = x.astype(numpy.float16)
    assert numpy.array_equal(net(halves), net(halves.astype(numpy.float32)))
    assert numpy.array_equal(numpy.from_dlpack(net._session.forward({net.inputs[0].name: x}, "simulate")[0]), expected)


def test_half_precision_is_read_exactly(images):
    net = quantrain.Network(MODEL, enabled=False)
    name = next(name for name, value in net.parameters().items() if value.ndim == 1)
    count = net.parameters()[name].size
    bits = numpy.linspace(0, 0x7BFF, count).astype(numpy.uint16)
    bits[1:4] = [1, 0x03FF, 0x8001]
    halves = bits.view(numpy.float16)
    net.load_state_dict({name: halves}, strict=False)
    assert numpy.array_equal(net.state_dict()[name], halves.astype(numpy.float32))


def test_other_threads_run_meanwhile(images):
    net = calibrated(images)
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(None)

    thread = threading.Thread(target=tick)
    thread.start()
    net(numpy.repeat(images, 10, axis=0))
    done.set()
    thread.join()
    assert len(ticks) > 100
    with ThreadPoolExecutor(4) as pool:
        expected = net(images[:4])
        assert all(numpy.array_equal(y, expected) for y in pool.map(lambda _: net(images[:4]), range(8)))


def test_files_of_every_style(images, tmp_path):
    net = calibrated(images)
    written = net.export(tmp_path / "model.clip.onnx", style="clip", encodings=True)
    assert [file.rsplit("/", 1)[1] for file in written] == ["model.clip.onnx", "model.clip.tidl-import.txt", "model.clip.encodings.json"]
    (file,) = net.export(tmp_path / "model.qdq.onnx")
    again = quantrain.Network(file, target="tidl-pow2")
    assert again.calibrated and numpy.array_equal(again(images[:8]), net(images[:8]))


def test_a_network_from_bytes_and_from_a_recipe(images):
    data = MODEL.read_bytes()
    from_bytes, from_file = quantrain.Network(data), quantrain.Network(recipe=EXAMPLE / "recipe.toml")
    assert (from_bytes.target, from_file.target) == ("onnxruntime", "tidl-pow2")
    assert quantrain.Network(recipe=EXAMPLE / "recipe.toml", target="onnxruntime-vnni").target == "onnxruntime-vnni"
    from_bytes.calibrate([images])
    from_path = quantrain.Network(MODEL, threads=1)
    from_path.calibrate([images])
    assert numpy.array_equal(from_bytes(images), from_path(images)), "nor do threads change a bit"


def test_straight_through():
    rounded = quantrain.ste(numpy.round)
    x = numpy.array([0.4, 1.6], numpy.float32)
    assert numpy.array_equal(rounded(x), [0, 2]) and rounded.backward(x) is x
    with pytest.raises(quantrain.InputError, match="shape"):
        quantrain.ste(numpy.sum)(x)


def test_commands_give_their_reports():
    report = quantrain.inspect(MODEL)
    assert report.command == "inspect" and len(report) > 0
    with pytest.raises(quantrain.CommandError, match="missing.onnx"):
        quantrain.inspect("missing.onnx")
