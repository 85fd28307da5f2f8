"""How much is held at a time: a pure function of shapes and of a memory, so that the same job has the same bits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How numbers are computed; none of it changes them beyond rounding.

    Args:
        fast: many probes at once, by what is known of a model's layers; or the plain loop, one probe after the other.
        memory_gb: for what is held at a time, GiB, beside the model and its samples.

    Raises:
        ValueError: no memory.
    """

    fast: bool = True
    memory_gb: float = 2.0

    def __post_init__(self) -> None:
        if not self.memory_gb > 0:
            raise ValueError(f"expected memory_gb above 0, got {self.memory_gb}; give the engine some memory")


DEFAULT = Engine()


def how_many(num_bytes: float, memory_gb: float) -> int:
    """Things of so many bytes that fit into a memory; one at least.

    >>> how_many(2**28, memory_gb=2)
    8
    """
    return max(1, int(memory_gb * 2**30 / num_bytes))


def halving(
    chunks: Sequence[Sequence[Item]], compute: Callable[[Sequence[Item]], Result]
) -> Iterator[tuple[Sequence[Item], Result, int]]:
    """Each chunk, what `compute` makes of it, and how often it was halved because a CUDA device had too little memory.

    A device is shared and its memory fragments, so that no budget is safe there. On a CPU nothing is halved.
    """
    waiting = [(chunk, 0) for chunk in reversed(chunks)]
    while waiting:
        chunk, halvings = waiting.pop()
        try:
            result = compute(chunk)
        except torch.cuda.OutOfMemoryError:
            if len(chunk) == 1:
                raise
            middle = len(chunk) // 2
            waiting += [(chunk[middle:], halvings + 1), (chunk[:middle], halvings + 1)]
        else:
            yield chunk, result, halvings
