"""Pure noise: how much a sample without any content teaches."""

import numpy as np

from influence.desiderata.cells import other_source
from influence.desiderata.spec import NotApplicableError, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix
from influence.samples import is_clean, is_pure_noise


def pure_noise(matrix: InfluenceMatrix) -> Ratio:
    """Rms of M(noise alone -> clean j) / rms of M(clean i -> clean j), all labels, source j != source i.

    0 when noise alone teaches nothing, 1 when it moves clean targets, up or down, as far as a clean sample does. Its
    label is random, so any effect is wrong.

    Args:
        matrix: with `sigma` of probes and targets, infinite for noise alone, and `source`.

    Returns:
        The two root mean squares, in the unit of the readout.

    Raises:
        NotApplicableError: no probe is noise alone.
        UndefinedError: no clean probe has a clean target of another source.
    """
    noise_P, clean_P, clean_T = is_pure_noise(matrix.probes), is_clean(matrix.probes), is_clean(matrix.targets)
    if not noise_P.any():
        raise NotApplicableError("expected probes that are noise alone, got none")
    clean_PT = other_source(matrix) & clean_P[:, None] & clean_T
    if not clean_PT.any():
        raise UndefinedError("expected clean probes with clean targets of another source, got none")
    of_noise, of_clean = matrix.gain[np.ix_(noise_P, clean_T)], matrix.gain[clean_PT]
    return Ratio(*(float(np.sqrt(np.mean(gain**2))) for gain in (of_noise, of_clean)))


SCORES = (Score(name="pure_noise", desideratum="noise", better="lower", measure=pure_noise, null=1.0),)
