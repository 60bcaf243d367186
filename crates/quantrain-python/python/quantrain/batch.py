"""What is known of the samples of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Batch", "Box"]

Box = tuple[float, float, float, float, int]
"""Left, upper, right and lower edge in pixels of the image as the network sees it, and the class."""


@dataclass(frozen=True)
class Batch:
    """The annotations of a batch, as a data set has them."""

    size: int
    """Samples."""
    labels: tuple[int, ...]
    """The class of each sample; empty where there are none."""
    masks: memoryview | None
    """The class of each pixel, `[samples, height, width]` of bytes; `numpy.asarray(batch.masks)` sees it."""
    boxes: Sequence[Sequence[Box]] | None
    """The boxes of each sample."""
    indices: tuple[int, ...]
    """Where each sample lies in the data set."""


def of_native(
    size: int,
    labels: tuple[int, ...],
    masks: tuple[bytes, tuple[int, int, int]] | None,
    boxes: Sequence[Sequence[Box]] | None,
    indices: tuple[int, ...],
) -> Batch:
    """A batch of what the native module knows."""
    return Batch(size, labels, memoryview(masks[0]).cast("B", list(masks[1])) if masks else None, boxes, indices)
