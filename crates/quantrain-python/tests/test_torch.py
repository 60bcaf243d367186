"""A network as a PyTorch module."""

import copy
import io

import numpy
import pytest
from conftest import MODEL

import quantrain

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def calibrated(images, **settings) -> quantrain.Network:
    net = quantrain.Network(MODEL, target="tidl-pow2", **settings)
    net.calibrate([images])
    return net


@pytest.fixture
def batch(images, labels):
    return torch.tensor(images[:32]), torch.tensor(labels[:32].astype(numpy.int64))


def test_a_loop_in_torch_gives_the_weights_of_quantrains_optimizer(images, batch):
    x, y = batch
    first, second = calibrated(images), calibrated(images)
    model = first.torch()
    theirs = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    ours = quantrain.SGD(second, 0.01, momentum=0.9, weight_decay=1e-4)
    losses = []
    for epoch in range(4):
        for net in (first, second):
            net.epoch(epoch, of=4)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        theirs.zero_grad()
        loss.backward()
        theirs.step()
        scores = torch.tensor(second(x, train=True), requires_grad=True)
        other = torch.nn.functional.cross_entropy(scores, y)
        other.backward()
        second.backward(scores.grad)
        ours.step()
        assert abs(loss.item() - other.item()) < 1e-5
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values()):
        assert numpy.abs(a - b).max() < 1e-4, name
    assert first.ranges == second.ranges


def test_parameters_share_memory_and_names_are_the_files(images):
    net = calibrated(images)
    model = net.torch()
    own = net.parameters()
    named = dict(model.named_parameters())
    assert set(named) == set(own)
    for name, parameter in named.items():
        assert parameter.data_ptr() == own[name].__array_interface__["data"][0] and tuple(parameter.shape) == own[name].shape
    pointers = [p.data_ptr() for p in model.parameters()]
    model.float().to("cpu").to(memory_format=torch.channels_last)
    assert [p.data_ptr() for p in model.parameters()] == pointers
    convolution = next(p for p in named.values() if p.dim() == 4 and p.shape[1] > 1)
    assert convolution.is_contiguous(memory_format=torch.channels_last)
    before = net(images[:2])
    with torch.no_grad():
        convolution.mul_(2)
    assert not numpy.array_equal(net(images[:2]), before), "what PyTorch writes is seen"


def test_evaluation_has_no_gradient_and_changes_nothing(images, batch):
    net = calibrated(images)
    model = net.torch().eval()
    before = {name: value.clone() for name, value in model.state_dict().items() if name != "_extra_state"}
    y = model(batch[0])
    assert not y.requires_grad and numpy.array_equal(y.numpy(), net(images[:32]))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    model.train()
    with torch.no_grad():
        assert not model(batch[0]).requires_grad


def test_gradients_reach_inputs_and_what_lies_before(images, batch):
    model = calibrated(images).torch()
    scale = torch.ones(1, requires_grad=True)
    x = batch[0].clone().requires_grad_()
    model(x * scale).square().sum().backward()
    assert x.grad.shape == x.shape and x.grad.abs().sum() > 0
    assert torch.allclose(scale.grad, (x.grad * x.detach()).sum(), rtol=1e-3)


def test_tensors_of_other_layouts_and_precisions(images, batch):
    x, y = batch
    model = calibrated(images, batch_norm="frozen", train_observer="none").torch()
    gradients = []
    for other in (x, x.contiguous(memory_format=torch.channels_last), x.transpose(2, 3).contiguous().transpose(2, 3)):
        model.zero_grad()
        out = model(other)
        # A gradient that lies across.
        (out.t().contiguous().t() * torch.linspace(-1, 1, 320).reshape(10, 32).t()).sum().backward()
        gradients.append(next(p.grad.clone() for p in model.parameters()))
    assert all(torch.equal(g, gradients[0]) for g in gradients)
    model.eval()
    half = model(x.half())
    assert half.dtype == torch.float16 and model(x.bfloat16()).dtype == torch.bfloat16
    model.train()
    model(x.half()).float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_gradients_accumulate(images, batch):
    x, _ = batch
    model = calibrated(images, batch_norm="frozen", train_observer="none").torch()
    model(x).sum().backward()
    whole = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    for part in x.split(16):
        model(part).sum().backward()
    for a, b in zip(whole, (p.grad for p in model.parameters())):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4 * a.abs().max().item())


def test_frozen_parameters_get_none(images, batch):
    model = calibrated(images).torch()
    first = next(model.parameters())
    first.requires_grad_(False)
    model(batch[0]).sum().backward()
    assert first.grad is None and all(p.grad is not None for p in list(model.parameters())[1:])
    assert torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0) > 0


def test_what_cannot_be_says_so(images, batch):
    x, _ = batch
    net = calibrated(images)
    model = net.torch()
    first, second = model(x), model(x)
    with pytest.raises(quantrain.StateError, match="one backward"):
        first.sum().backward()
    second.sum().backward()
    out = model(x)
    net(images[:4])
    with pytest.raises(quantrain.StateError, match="no other forward"):
        out.sum().backward()
    with pytest.raises(quantrain.InputError, match="on the CPU"):
        model(x.to("meta"))
    with pytest.raises(quantrain.InputError, match="torch.Tensor expected"):
        model(images)
    with pytest.raises(quantrain.InputError, match=r"\[32, 1, 28\] found"):
        model(x[..., 0])
    with pytest.raises(quantrain.StateError, match="float32"):
        model.half()
    with pytest.raises(quantrain.NumericError, match="loss finite"):
        (model(x).sum() * float("nan")).backward()
    with pytest.raises(quantrain.StateError, match="learned ranges"):
        calibrated(images, learn_ranges="tqt").torch()


def test_state_dict_resumes_with_the_same_bits(images, batch):
    x, y = batch

    def step(model):
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        model.zero_grad()
        return loss.item()

    model = calibrated(images).torch()
    step(model)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = calibrated(images[:32]).torch()
    other.load_state_dict(torch.load(file))
    copied = copy.deepcopy(model)
    for _ in range(3):
        assert step(model) == step(other) == step(copied)
    assert model.network.ranges == other.network.ranges == copied.network.ranges
    assert next(copied.parameters()).data_ptr() != next(model.parameters()).data_ptr()


def test_straight_through_in_torch():
    x = torch.tensor([0.4, 1.6], requires_grad=True)
    (quantrain.ste(torch.round)(x) * torch.tensor([2.0, 3.0])).sum().backward()
    assert torch.equal(x.grad, torch.tensor([2.0, 3.0]))


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, groups=8), torch.nn.ReLU()
        )
        self.up = torch.nn.ConvTranspose2d(8, 4, 2, stride=2, groups=2)
        self.head = torch.nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.up(self.features(x)).mean((2, 3)))


def test_quant_train_module():
    from quantrain.torch import QuantTrainModule

    torch.manual_seed(0)
    small = Small()
    for _ in range(3):
        small(torch.randn(8, 3, 10, 10))
    x = torch.randn(16, 3, 10, 10)
    model = QuantTrainModule(small, x, target="onnxruntime", weight_bits=8)
    assert set(dict(model.named_parameters())) == set(dict(small.named_parameters()))
    small.eval(), model.eval()
    expected = small(x).detach()
    assert (model(x) - expected).abs().max() < 0.1 * expected.abs().max()
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    before = {name: p.detach().clone() for name, p in small.named_parameters()}
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (model(x) - 1).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0], losses
    lost = model.write_back(small)
    assert all(name.endswith("num_batches_tracked") for name in lost)
    assert all(not torch.equal(p, before[name]) for name, p in small.named_parameters())
    small.eval(), model.eval()
    trained = torch.from_numpy(model.network.forward(x, "float")[0])
    assert (trained - small(x)).abs().max() < 1e-4 * small(x).abs().max()
    with pytest.raises(quantrain.ModelError, match="none of the network's"):
        model.write_back(torch.nn.Sequential(torch.nn.Linear(2, 2)))
