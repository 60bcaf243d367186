"""TI's devkit beside Quantrain, number by number.

    cargo build --release -p quantrain --example training_numbers
    python tests-python/devkit.py CHECKOUT [small|resnet20 ...]

CHECKOUT is one of TexasInstruments/edgeai-torchvision at 822f3fdc, or its folder `references/edgeailite/edgeai_xvision`; it is read and run, nothing of it
is kept. Wants PyTorch, numpy and onnx beside it; what else the devkit imports and does not use here is replaced by empty modules.

Both get the same network with the same ranges and statistics, run training steps on the same images, and what they make is compared: weights, biases
in each mode, outputs, ranges, gradients of both paths, limits that an importer finds. Prints the table of docs/devkit.md. Exit code 1 where something
differs that has been equal.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("QUANTRAIN_NUMBERS", str(ROOT / "target" / "release" / "examples" / "training_numbers"))
RESNET20 = ROOT.parent / "shared" / "models" / "resnet20_cifar10.onnx"
# Images of a step, and steps that ranges are watched for.
BATCH, STEPS = 64, 20


def devkit(checkout):
    """The devkit's package `xnn`, with modules of nothing in place of those that are not installed."""
    inner = Path(checkout) / "references" / "edgeailite" / "edgeai_xvision"
    sys.path.insert(0, str(inner if inner.exists() else checkout))
    while True:
        try:
            import xnn

            return xnn
        except ModuleNotFoundError as missing:
            if missing.name is None or missing.name.split(".")[0] == "xnn":
                raise
            sys.modules[missing.name] = MagicMock(name=missing.name)
            for name in [name for name in sys.modules if name.split(".")[0] == "xnn"]:
                del sys.modules[name]


class Small(torch.nn.Module):
    """conv-bn-relu, depthwise conv-bn-relu6, add, pool, linear."""

    SHAPE, CLASSES = (3, 12, 12), 4

    def __init__(self, layers):
        super().__init__()
        self.conv1, self.bn1, self.relu1 = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU()
        self.conv2, self.bn2, self.relu2 = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU6()
        self.add = layers.AddBlock()
        # The devkit does not quantize this pool; a QAct says that it should.
        self.pool, self.pooled = torch.nn.AdaptiveAvgPool2d(1), layers.QAct()
        self.flatten, self.fc = torch.nn.Flatten(), torch.nn.Linear(8, 4)

    def forward(self, x):
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.add([self.relu2(self.bn2(self.conv2(x))), x])
        return self.fc(self.flatten(self.pooled(self.pool(x))))

    def randomise(self, seed):
        random = np.random.default_rng(seed)
        values = lambda shape, scale: torch.tensor(random.normal(0, scale, shape), dtype=torch.float32)
        for conv in (self.conv1, self.conv2):
            conv.weight.data = values(conv.weight.shape, 1 / conv.weight[0].numel() ** 0.5)
        for bn in (self.bn1, self.bn2):
            bn.weight.data = torch.tensor(random.uniform(0.5, 2.0, 8), dtype=torch.float32)
            bn.bias.data = values(8, 1.5)
            bn.running_mean.data = values(8, 0.3)
            bn.running_var.data = torch.tensor(random.uniform(0.3, 1.5, 8), dtype=torch.float32)
        self.fc.weight.data, self.fc.bias.data = values(self.fc.weight.shape, 0.5), values(4, 0.5)

    def graph(self, g):
        x = g.block("conv1", "bn1", "relu1", "input", self, pads=1)
        y = g.block("conv2", "bn2", "relu2", x, self, pads=1, clip=6.0, groups=8)
        y = g.node("Add", "add", y, x)
        y = g.node("GlobalAveragePool", "pooled", y)
        y = g.node("Flatten", "flat", y)
        return g.linear("fc", y, self.fc)

    @property
    def blocks(self):
        return {"conv1": (self.conv1, self.bn1), "conv2": (self.conv2, self.bn2), "fc": (self.fc, None)}

    # Our tensor and the module whose PAct2 has its range.
    RANGES = {"input": "conv1.activation_in", "relu1": "relu1", "relu2": "relu2", "add": "add.activation_q", "pooled": "pooled",
              "fc": "fc.activation_q"}


class Basic(torch.nn.Module):
    """Two 3x3 convolutions and a shortcut without weights."""

    def __init__(self, layers, inputs, outputs):
        super().__init__()
        stride = outputs // inputs
        self.conv1, self.bn1 = torch.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), torch.nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = torch.nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(outputs)
        self.relu1, self.add, self.relu = torch.nn.ReLU(), layers.AddBlock(), torch.nn.ReLU()
        self.stride, self.more = stride, outputs - inputs

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        if self.more:
            half = self.more // 2
            x = torch.nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.more - half))
        return self.relu(self.add([y, x]))


class ResNet20(torch.nn.Module):
    """The network of ../shared, its weights taken from the file in their order."""

    SHAPE, CLASSES = (3, 32, 32), 10

    def __init__(self, layers):
        super().__init__()
        self.conv, self.bn, self.relu = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(16), torch.nn.ReLU()
        widths = [16] * 3 + [32] * 3 + [64] * 3
        self.stages = torch.nn.ModuleList(Basic(layers, a, b) for a, b in zip([16] + widths, widths))
        self.pool, self.pooled = torch.nn.AdaptiveAvgPool2d(1), layers.QAct()
        self.flatten, self.fc = torch.nn.Flatten(), torch.nn.Linear(64, 10)

    def forward(self, x):
        x = self.relu(self.bn(self.conv(x)))
        for stage in self.stages:
            x = stage(x)
        return self.fc(self.flatten(self.pooled(self.pool(x))))

    def randomise(self, _):
        """The trained weights."""
        model = onnx.load(RESNET20)
        values = {t.name: torch.tensor(numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
        nodes = {"Conv": [], "BatchNormalization": [], "Gemm": []}
        for node in model.graph.node:
            nodes.get(node.op_type, []).append([values[i] for i in node.input[1:] if i in values])
        convs = [m for m in self.modules() if isinstance(m, torch.nn.Conv2d)]
        norms = [m for m in self.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for conv, node in zip(convs, nodes["Conv"], strict=True):
            conv.weight.data = node[0]
        for norm, node in zip(norms, nodes["BatchNormalization"], strict=True):
            norm.weight.data, norm.bias.data, norm.running_mean.data, norm.running_var.data = node
        self.fc.weight.data, self.fc.bias.data = nodes["Gemm"][0]

    def graph(self, g):
        x = g.block("conv", "bn", "relu", "input", self, pads=1)
        for i, stage in enumerate(self.stages):
            name = f"stages.{i}."
            y = g.block("conv1", "bn1", "relu1", x, stage, name, pads=1)
            y = g.block("conv2", "bn2", None, y, stage, name, pads=1)
            if stage.more:
                half = stage.more // 2
                starts, ends, axes = g.ints([0, 0]), g.ints([10**6] * 2), g.ints([2, 3])
                x = g.node("Slice", name + "slice", x, starts, ends, axes, g.ints([stage.stride] * 2))
                x = g.node("Pad", name + "pad", x, g.ints([0, half, 0, 0, 0, stage.more - half, 0, 0]))
            x = g.node("Relu", name + "relu", g.node("Add", name + "add", y, x))
        x = g.node("Flatten", "flat", g.node("GlobalAveragePool", "pooled", x))
        return g.linear("fc", x, self.fc)

    @property
    def blocks(self):
        all = {"conv": (self.conv, self.bn)}
        for i, s in enumerate(self.stages):
            all |= {f"stages.{i}.conv1": (s.conv1, s.bn1), f"stages.{i}.conv2": (s.conv2, s.bn2)}
        return all | {"fc": (self.fc, None)}

    @property
    def RANGES(self):
        all = {"input": "conv.activation_in", "relu": "relu", "pooled": "pooled", "fc": "fc.activation_q"}
        for i in range(9):
            # The devkit does not quantize a sum that an activation follows.
            all |= {f"stages.{i}.{name}": f"stages.{i}.{where}" for name, where in
                    (("relu1", "relu1"), ("bn2", "bn2.activation_q"), ("relu", "relu"))}
        return all


class Graph:
    """Grows an ONNX graph whose tensors have the names of the modules that write them."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def ints(self, values):
        return self.constant(f"ints{len(self.constants)}", np.array(values, np.int64))

    def node(self, operator, name, *inputs, **attributes):
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def block(self, conv, bn, relu, x, parent, prefix="", pads=0, groups=1, clip=None):
        c, n = getattr(parent, conv), getattr(parent, bn)
        weight = self.constant(f"{prefix}{conv}.weight", c.weight.detach().numpy())
        x = self.node("Conv", prefix + conv, x, weight, pads=[pads] * 4, group=groups, strides=list(c.stride), kernel_shape=list(c.kernel_size))
        parts = {"weight": n.weight, "bias": n.bias, "running_mean": n.running_mean, "running_var": n.running_var}
        parts = [self.constant(f"{prefix}{bn}.{what}", v.detach().numpy()) for what, v in parts.items()]
        x = self.node("BatchNormalization", prefix + bn, x, *parts, epsilon=n.eps, momentum=1 - n.momentum)
        if relu is None:
            return x
        if clip is None:
            return self.node("Relu", prefix + relu, x)
        limits = [self.constant(f"{prefix}{relu}.{what}", np.float32(v)) for what, v in (("min", 0.0), ("max", clip))]
        return self.node("Clip", prefix + relu, x, *limits)

    def linear(self, name, x, module):
        weight = self.constant(f"{name}.weight", module.weight.detach().numpy())
        return self.node("Gemm", name, x, weight, self.constant(f"{name}.bias", module.bias.detach().numpy()), transB=1)

    def write(self, path, shape, output, classes):
        value = lambda name, extents: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *extents])
        graph = helper.make_graph(self.nodes, "network", [value("input", shape)], [value(output, [classes])], self.constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


class Devkit:
    """A network in the devkit's QuantTrainModule, and what it made of each layer in its last step."""

    NO_ITERATION = -7

    def __init__(self, xnn, network, bias="saturate", path="ste", momentum=0.0, ranges=None, touch_masters=False):
        modes = xnn.quantization.quant_train_module.ConstrainBiasType
        mode = {"none": modes.CONSTRAIN_BIAS_TYPE_NONE, "float": modes.CONSTRAIN_BIAS_TYPE_NONE, "saturate": modes.CONSTRAIN_BIAS_TYPE_SATURATE,
                "reduce": modes.CONSTRAIN_BIAS_TYPE_REDUCE_WEIGHT_SCALE}[bias]
        for norm in network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.momentum = momentum
        quiet = open(os.devnull, "w")
        out, sys.stdout = sys.stdout, quiet
        try:
            self.module = xnn.quantization.QuantTrainModule(network, torch.zeros(1, *network.SHAPE), total_epochs=10, constrain_bias=mode)
            self.module.train(True)
        finally:
            sys.stdout = out
        self.names = {m: n.removeprefix("module.") for n, m in self.module.named_modules()}
        self.acts = {self.names[m]: m for m in self.module.modules() if type(m).__name__ == "QuantTrainPAct2"}
        self.layers = {}
        for act in self.acts.values():
            act.quantize_backward_type, act.quantize_bias = path, bias != "float"
            if not touch_masters:
                act.constrain_weights_iter = act.store_weights_iter = act.constrain_bias_start_iter = self.NO_ITERATION
            self.record(act)
        for tensor, name in (network.RANGES if ranges else {}).items():
            act = self.acts[name]
            act.fixed_range = True
            act.clips_act.data = torch.tensor(ranges[tensor], dtype=torch.float32)

    def record(self, act):
        make = act.merge_quantize_weights

        def recorded(qparams, conv, bn):
            conv, weight, bias = make(qparams, conv, bn)
            self.layers[self.names[conv]] = (weight.detach().numpy().copy(), bias.detach().numpy().copy())
            return conv, weight, bias

        act.merge_quantize_weights = recorded

    def step(self, images, gradient=None):
        self.module.zero_grad()
        y = self.module(torch.tensor(images))
        if gradient is not None:
            (y * torch.tensor(gradient)).sum().backward()
        return y.detach().numpy()

    def gradients(self):
        return {n.removeprefix("module."): p.grad.numpy().copy() for n, p in self.module.named_parameters() if p.grad is not None}

    def limits(self, network):
        return {tensor: [float(v) for v in self.acts[name].get_clips_act()] for tensor, name in network.RANGES.items()}


def quantrain(folder, model, images, gradient, ranges, **keys):
    """What Quantrain makes of the same."""
    recipe = folder / "recipe.toml"
    lines = "\n".join(f"{name.replace('_', '-')} = {json.dumps(value)}" for name, value in keys.items())
    recipe.write_text(f'model = "{model}"\ntarget = "tidl-pow2"\n[quantization]\n{lines}\n[train]\nbatch-size = {BATCH}\n')
    (folder / "images.bin").write_bytes(images.astype("<f4").tobytes())
    (folder / "gradient.bin").write_bytes(gradient.astype("<f4").tobytes())
    (folder / "ranges.json").write_text(json.dumps(ranges))
    files = [str(folder / name) for name in ("recipe.toml", "images.bin", "gradient.bin", "ranges.json", "out.json")]
    subprocess.run([PROGRAM, *files], check=True)
    return json.loads((folder / "out.json").read_text())


class Table:
    """Rows for docs/devkit.md."""

    def __init__(self):
        self.rows, self.failed = [], 0

    def row(self, what, found, equal=None):
        """`equal` false: what has been equal is not any more."""
        self.failed += equal is False
        self.rows.append((what, found))
        print(f"| {what} | {found} |" + (" **changed**" if equal is False else ""), flush=True)


def count(differ, of):
    return f"{differ} of {of} differ" if differ else f"all {of} equal"


def gradient_error(theirs, ours, order):
    """The largest difference of a parameter's gradient, relative to the largest gradient of that parameter."""
    worst = {}
    for name, g in theirs.items():
        mine = np.array(ours[name], np.float64)
        g = g.transpose(0, 2, 3, 1) if order and g.ndim == 4 else g
        size = max(np.abs(g).max(), np.abs(mine).max())
        worst[name] = 0.0 if size == 0 else float(np.abs(g.ravel() - mine).max() / size)
    return worst


def compare(xnn, kind, table):
    make = {"small": Small, "resnet20": ResNet20}[kind]
    folder = Path(tempfile.mkdtemp(prefix="quantrain-devkit-"))

    def network():
        net = make(xnn.layers)
        net.randomise(3)
        return net

    net, g = network(), Graph()
    g.write(folder / "model.onnx", net.SHAPE, net.graph(g), net.CLASSES)
    random = np.random.default_rng(4)
    images = random.normal(0, 1, (STEPS, BATCH, *net.SHAPE)).astype(np.float32)
    gradient = random.normal(0, 1, (BATCH, net.CLASSES)).astype(np.float32)
    first = images[0]

    # Ranges that fit: those of the float network on the first batch, with the sign that the devkit gives each place.
    ranges = float_ranges(network(), first)
    signed = {tensor: [-max(abs(low), high), max(abs(low), high)] if low < 0 else [0.0, high] for tensor, (low, high) in ranges.items()}
    ours = lambda **keys: quantrain(folder, folder / "model.onnx", first, gradient, ranges, **{"batch_norm": "running", "clip_weights": "off", **keys})

    def layer_rows(mode, limit):
        kit = Devkit(xnn, network(), bias=mode, ranges=signed)
        kit.step(first)
        mine = ours(gradient_path="float", bias_limit=limit)
        codes = [0, 0, 0, 0]
        for name in net.blocks:
            weight, bias = kit.layers[name]
            block = mine["blocks"][name]
            scale, step = block["scales"][0], block["scales"][0] * block["input_scale"]
            values = np.array(block["weights"]) * scale
            codes[0] += int((values != weight.ravel()).sum())
            codes[1] += values.size
            biases = np.array(block["bias"]) * step
            same = np.abs(biases - bias) <= (0 if mode != "float" else 0.5) * step
            # Behind a Flatten the devkit has lost the input's range and does without the limit.
            if name != "fc":
                codes[2] += int((~same).sum())
                codes[3] += bias.size
        return codes

    weights = layer_rows("float", "off")
    table.row(f"{kind}: weights", count(*weights[:2]), weights[0] == 0)
    table.row(f"{kind}: biases, the devkit's left in float, ours 32 bits", count(*weights[2:]) + " by more than half a step", weights[2] == 0)
    for mode, limit in (("saturate", "devkit-split"), ("reduce", "reduce-weight-scale"), ("saturate", "saturate"), ("none", "off")):
        codes = layer_rows(mode, limit)
        equal = codes[2] == 0 if limit == "devkit-split" else None
        table.row(f"{kind}: biases, the devkit's `{mode}`, our `{limit}`", count(*codes[2:]), equal)
        if mode == "reduce":
            table.row(f"{kind}: weights under it", count(*codes[:2]), codes[0] == 0)

    for path, keys in (("ste", {"gradient_path": "float"}), ("qte", {"gradient_path": "devkit-qte"})):
        kit = Devkit(xnn, network(), bias="float", path=path, ranges=signed)
        theirs = kit.step(first, gradient)
        mine = ours(bias_limit="off", **keys)
        output = np.array(mine["output"]).reshape(theirs.shape)
        differ = int((np.abs(output - theirs) > 1e-6 * np.abs(theirs).max()).sum())
        table.row(f"{kind}: outputs, statistics held still, biases aligned, `{path}`", count(differ, theirs.size), differ == 0)
        errors = gradient_error(kit.gradients(), mine["gradients"], True)
        worst = max(errors, key=errors.get)
        table.row(f"{kind}: gradients of `{path}`, our `{keys['gradient_path']}`", f"largest relative difference {errors[worst]:.1e} (`{worst}`)",
                  errors[worst] < 1e-3)
    kit = Devkit(xnn, network(), bias="saturate", path="qte", ranges=signed)
    kit.step(first, gradient)
    split = ours(bias_limit="devkit-split", gradient_path="devkit-qte")
    shifts = [n for n, g in kit.gradients().items() if n.endswith("bias") and not g.any()]
    mine = [n for n in shifts if not np.any(split["gradients"][n])]
    biases = [n for n in kit.gradients() if n.endswith("bias")]
    table.row(f"{kind}: shifts and biases with a gradient of exactly 0 under `saturate` and `qte`",
              f"devkit {len(shifts)} of {len(biases)}, ours under `devkit-split` {len(mine)}")

    # The devkit folds with the statistics after this batch, ours before.
    kit = Devkit(xnn, network(), bias="float", momentum=0.1, ranges=signed)
    theirs = kit.step(first)
    output = np.array(ours(bias_limit="off", gradient_path="float")["output"]).reshape(theirs.shape)
    steps = np.abs(output - theirs) / scale_of(signed["fc"])
    table.row(f"{kind}: outputs, momentum 0.1 (theirs fold with this batch, ours without)",
              f"{int((steps > 0.5).sum())} of {theirs.size} differ, by {steps.max():.0f} steps at most")

    # Ranges found while training, from nothing.
    kit = Devkit(xnn, network(), bias="float")
    for batch in images:
        kit.step(batch)
    found = quantrain(folder, folder / "model.onnx", images, gradient, {}, batch_norm="running", clip_weights="off", bias_limit="off",
                      gradient_path="float")["quantizers"]
    limits, off = kit.limits(net), []
    for tensor, (low, high) in limits.items():
        q = found[tensor]
        mine = q["scale"] * (256 if q["lowest"] == 0 else 128)
        if mine != high or (q["lowest"] < 0) != (low < 0):
            off.append(f"`{tensor}` {high:g} and {mine:g}")
    table.row(f"{kind}: limits after {STEPS} batches", count(len(off), len(limits)) + (": " + ", ".join(off[:4]) if off else ""))

    # Limits of Clip nodes that an importer finds.
    ours(bias_limit="off", gradient_path="float")
    clip = onnx.load(folder / "out.clip.onnx")
    values = {t.name: float(numpy_helper.to_array(t)) for t in clip.graph.initializer if t.data_location == 0 and not t.dims}
    written = {n.output[0]: [values[i] for i in n.input[1:]] for n in clip.graph.node if n.op_type == "Clip"}
    off = [f"`{tensor}` {theirs} and {written.get(tensor)}" for tensor, theirs in
           ((t, l) for t, l in limits_of(signed).items() if t != "input") if written.get(tensor) != theirs]
    table.row(f"{kind}: Clip limits for the same ranges", count(len(off), len(signed) - 1) + (": " + ", ".join(off[:4]) if off else ""))

    # One outlier.
    net = network()
    conv, bn = next(iter(net.blocks.values()))
    factor = (bn.weight / torch.sqrt(bn.running_var + bn.eps)).detach().view(-1, 1, 1, 1)
    conv.weight.data[0, 0, 0, 0] = 40.0 / factor[0].item()
    theirs = xnn.utils.constrain_weight((conv.weight * factor).detach())
    g = Graph()
    g.write(folder / "outlier.onnx", net.SHAPE, net.graph(g), net.CLASSES)
    clipped = quantrain(folder, folder / "outlier.onnx", first, gradient, ranges, batch_norm="running", bias_limit="off", gradient_path="float")
    block = clipped["blocks"][next(iter(net.blocks))]
    scale = block["scales"][0]
    codes = np.clip(np.trunc(theirs.numpy() / scale + np.copysign(0.5, theirs.numpy())), -128, 127)
    differ = int((codes.ravel() != np.array(block["weights"])).sum())
    limit = float(theirs.abs().max())
    table.row(f"{kind}: an outlier of 40 in the first layer", f"clipped to {limit:.4g} by the devkit; codes: {count(differ, codes.size)}", differ == 0)


def limits_of(ranges):
    power = lambda high: float(2.0 ** np.ceil(np.log2(max(high, 2.0**-16))))
    return {t: [-power(high), power(high)] if low < 0 else [0.0, power(high)] for t, (low, high) in ranges.items()}


def scale_of(limits):
    return limits_of({"": limits})[""][1] / (128 if limits[0] < 0 else 256)


def float_ranges(net, images):
    """The extrema of every tensor that has a range, in the float network."""
    net.eval()
    found, handles = {"input": [float(images.min()), float(images.max())]}, []
    modules = dict(net.named_modules())
    for tensor, name in net.RANGES.items():
        if tensor != "input":
            module = modules[name.removesuffix(".activation_q")]
            note = lambda _, __, y, tensor=tensor: found.update({tensor: [min(0.0, float(y.min())), float(y.max())]})
            handles.append(module.register_forward_hook(note))
    with torch.no_grad():
        net(torch.tensor(images))
    for handle in handles:
        handle.remove()
    return found


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    torch.manual_seed(0)
    xnn, table = devkit(sys.argv[1]), Table()
    print("| what | found |\n|---|---|")
    for kind in sys.argv[2:] or ["small", "resnet20"]:
        compare(xnn, kind, table)
    sys.exit(1 if table.failed else 0)


if __name__ == "__main__":
    main()
