"""The bar of a measurement, with the time left."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm


class ProgressBar:
    """Opens with the first call; probes that an earlier process has measured count as done, not as fast.

    Attributes:
        seconds_left: by the mean time of a probe measured here; NaN before there is one.
    """

    def __init__(self) -> None:
        self._bar: tqdm | None = None  # type: ignore[type-arg]
        self._found, self._start = 0, 0.0
        self.seconds_left = float("nan")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        """Show that so many of all probes are done."""
        if self._bar is None:
            self._bar = tqdm(desc="Measuring", unit="probe", initial=done, total=total, file=sys.stderr)
            self._found, self._start = done, time.perf_counter()
        self._bar.update(done - self._bar.n)
        if measured := done - self._found:
            self.seconds_left = (time.perf_counter() - self._start) / measured * (total - done)
