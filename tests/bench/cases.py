"""Every case of `make bench`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.bench import images, texts
from tests.bench.timing import Case


@dataclass(frozen=True)
class Entry:
    """How a case is made, and about how long it takes on two quiet cores, minutes."""

    make: Callable[[], Case]
    minutes: float


CASES = {
    "cnn_sgd_1": Entry(partial(images.learned, "sgd", 1), 0.3),
    "cnn_sgd_5": Entry(partial(images.learned, "sgd", 5), 0.5),
    "cnn_adam_1": Entry(partial(images.learned, "adam", 1), 0.3),
    "cnn_adam_5": Entry(partial(images.learned, "adam", 5), 0.6),
    "first_order": Entry(images.first_order, 0.2),
    "sizes": Entry(images.sizes, 2.3),
    "gemma_shared": Entry(texts.shared, 2.8),
    "gemma_unshared": Entry(texts.unshared, 2.6),
    "gemma_statements": Entry(texts.statements, 2.7),
    "gemma_adamw": Entry(texts.adamw, 2.7),
    "prompt": Entry(texts.prompt, 1.6),
}


def chosen(names: list[str]) -> dict[str, Entry]:
    """The cases whose name starts with one of these; all for none.

    Raises:
        ValueError: there is no such case.
    """
    for name in names:
        if not any(case.startswith(name) for case in CASES):
            raise ValueError(f"expected cases among {', '.join(CASES)}, got {name!r}; name one or its beginning")
    return {case: entry for case, entry in CASES.items() if not names or case.startswith(tuple(names))}
