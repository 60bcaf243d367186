"""`quantrain.train` with a loss, a metric and a listener of the caller's."""

import json

import numpy
import pytest
from conftest import MODEL, cross_entropy, read_idx
from test_trainer import checkpoint

import quantrain


def recipe(folder, images=256):
    pixels, classes = (read_idx(f"train-{name}-ubyte.gz", images) for name in ("images-idx3", "labels-idx1"))
    numpy.savez(folder / "data.npz", images=pixels, labels=classes.astype(numpy.int64))
    (folder / "recipe.toml").write_text(
        f"model = '{MODEL}'\ntarget = 'onnxruntime'\nout = 'run'\n[data]\ntrain = 'data.npz'\neval = 'data.npz'\nmean = [0.2860]\nstd = [0.3530]\n"
        f"calibration-images = 64\n[train]\nepochs = 2\nbatch-size = 32\nlearning-rate = 0.001\n[export]\ncheckpoint = 'last'\ncheck = false\n"
    )
    return folder / "recipe.toml"


def parameters(folder):
    tensors = checkpoint(folder / "run" / "checkpoints" / "last.safetensors")
    return {name: values for name, values in tensors.items() if name.startswith("parameter/")}


def own_loss(outputs, batch):
    ((name, scores),) = outputs.items()
    loss, gradient = cross_entropy(numpy.asarray(scores), numpy.array(batch.labels))
    return loss, {name: gradient.astype(numpy.float32)}


class Accuracy:
    def reset(self):
        self.right = self.seen = 0

    def update(self, outputs, batch):
        (scores,) = outputs.values()
        self.right += int((numpy.asarray(scores).argmax(axis=1) == numpy.array(batch.labels)).sum())
        self.seen += batch.size

    def compute(self):
        return {"share right": self.right / self.seen}


def test_a_loss_of_ones_own_trains_as_the_recipes(tmp_path):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir(), ours.mkdir()
    expected = quantrain.train(recipe(theirs), quiet=True)
    epochs = []
    report = quantrain.train(recipe(ours), loss=own_loss, metric=Accuracy(), on_epoch=epochs.append, quiet=True)
    a, b = parameters(theirs), parameters(ours)
    assert len(a) > 20 and a.keys() == b.keys()
    for name in a:
        assert numpy.abs(a[name] - b[name]).max() < 1e-4 * max(1.0, numpy.abs(a[name]).max()), name
    assert [epoch["epoch"] for epoch in epochs] == [0, 1]
    top1 = [epoch["score"]["top1"] for epoch in expected["course"]]
    mine = [epoch["score"]["figures"][0]["value"] for epoch in epochs]
    assert mine == pytest.approx([share / 100 for share in top1], abs=1e-6)
    assert report["course"][-1]["score"]["figures"] == [{"name": "share right", "value": mine[-1]}]
    # Twice in one process, and resumed after its end.
    again = quantrain.train(recipe(ours), loss=own_loss, metric=Accuracy(), quiet=True, resume=True)
    assert again["steps"] == 0 and json.dumps(again["course"]) == json.dumps(report["course"])


def test_an_exception_of_ones_own_is_raised(tmp_path):
    def broken(outputs, batch):
        raise LookupError("no such loss")

    with pytest.raises(LookupError, match="no such loss"):
        quantrain.train(recipe(tmp_path), loss=broken, quiet=True)

    class Deaf(Accuracy):
        def update(self, outputs, batch):
            raise TypeError("not a metric")

    with pytest.raises(TypeError, match="not a metric"):
        quantrain.train(recipe(tmp_path), metric=Deaf(), quiet=True, overwrite=True)

    def stop(line):
        raise StopIteration(line["epoch"])

    with pytest.raises(StopIteration, match="0"):
        quantrain.train(recipe(tmp_path), on_epoch=stop, quiet=True, overwrite=True)


@pytest.mark.parametrize(
    "answer, message",
    [
        (1.0, "a pair of the loss and its gradients expected"),
        ((1.0, numpy.zeros((2, 10), numpy.float32)), r"shape \[2, 10\] found, \[32, 10\] expected"),
        ((1.0, numpy.zeros((32, 10), numpy.int64)), "float32 expected"),
    ],
)
def test_an_answer_that_is_no_loss(answer, message, tmp_path):
    with pytest.raises(quantrain.InputError, match=message):
        quantrain.train(recipe(tmp_path), loss=lambda outputs, batch: answer, quiet=True)


def test_what_the_command_refuses(tmp_path):
    with pytest.raises(quantrain.CommandError, match="train.epochs") as refused:
        quantrain.train(recipe(tmp_path), loss=own_loss, quiet=True, epochs=0)
    assert refused.value.code == 2
    report = quantrain.train(recipe(tmp_path), loss=lambda outputs, batch: (float("nan"), {}), quiet=True)
    assert report["diverged"]["step"] <= 1 and report["exported"]["network"] == "calibrated"
