"""What the networks of foreign_files.py look at: photographs, lines of text, and sounds as spectrograms."""

import io

import numpy as np
import onnxruntime as ort
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

import fetch_foreign

PHOTOGRAPHS = fetch_foreign.ROOT.parent / "shared" / "data" / "imagenet_sample_500.parquet"
WORDS = "the quick brown fox jumps over lazy dog integer network scale zero point HELLO World data value table report signal noise".split()


def photographs(count):
    """The first images of the sample, as RGB."""
    cells = next(pq.ParquetFile(PHOTOGRAPHS).iter_batches(count)).to_pydict()
    column = next(values for values in cells.values() if isinstance(values[0], dict))
    return [Image.open(io.BytesIO(cell["bytes"])).convert("RGB") for cell in column]


def text_lines(count, height=48, width=320):
    """Lines of words in Pillow's own font, dark on light, a little noise on top."""
    made = []
    for seed in range(count):
        random = np.random.RandomState(seed)
        text = f"{' '.join(random.choice(WORDS, 3))[:24]} {random.randint(100)}"
        paper, ink = (tuple(int(v) for v in random.randint(low, high, 3)) for low, high in [(150, 256), (0, 100)])
        image = Image.new("RGB", (width, height), paper)
        at = tuple(int(v) for v in (random.randint(2, 12), random.randint(4, 14)))
        ImageDraw.Draw(image).text(at, text, font=ImageFont.load_default(size=int(random.randint(20, 30))), fill=ink)
        noisy = np.asarray(image, np.float32) + random.normal(0, 4, (height, width, 3))
        made.append(Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)))
    return made


def spectrograms(count):
    """Windows [76, 32, 1] of the spectrograms that openwakeword makes of sounds: tones that glide and swell, and noise."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(fetch_foreign.FOLDER / "melspectrogram.onnx"), options, providers=["CPUExecutionProvider"])
    windows = []
    for seed in range(count):
        random = np.random.RandomState(seed)
        time = np.arange(16000 * 1.2) / 16000
        tones = [np.sin(2 * np.pi * random.uniform(80, 3000) * time * (1 + random.uniform(-0.3, 0.3) * time)) for _ in range(4)]
        swell = 0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(1, 6) * time)
        sound = 6000 * random.uniform(0.1, 1) * swell * sum(tones) / 4 + random.normal(0, 300 * random.uniform(0.1, 1), len(time))
        values = np.squeeze(session.run(None, {session.get_inputs()[0].name: sound[None].astype(np.float32)})[0]) / 10 + 2
        windows.append(values[:76, :, None])
    return np.stack(windows).astype(np.float32)
