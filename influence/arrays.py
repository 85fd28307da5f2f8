"""Names of array axes, used as suffixes of array names and in jaxtyping signatures.

======  ==========================================================
suffix  axis
======  ==========================================================
P       probes: the samples learned from, rows of the matrix
T       targets: the samples read, columns of the matrix
N       samples that are both probe and target, in one order
B       samples of one batch
C       classes of a classifier
D       parameters of a model, flattened
S       sources: clean images, or texts, that samples derive from
K       draws of a null distribution
W       units: worlds of a language domain, or seeds of a base model
======  ==========================================================

`gain_PT[i, j]` is the gain of target `j` after learning probe `i`.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
else:  # jaxtyping checks against the class itself
    Array = np.ndarray

__all__ = ["Array"]
