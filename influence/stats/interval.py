"""The interval of a number."""

import math
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def touches_zero(self) -> bool:
        """Whether zero, or nothing known, lies inside: such a denominator makes no ratio."""
        return not (self.low > 0 or self.high < 0)


UNDEFINED = Interval(math.nan, math.nan, math.nan)
"""What there is where a denominator's interval touches zero."""
