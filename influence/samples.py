"""Sample tables: a DataFrame with one row a sample, its `id`, what it is, and its inputs.

Columns every score may use, all but `id` optional:

==============  ==============================================================================
id              unique text; probe and target are the same sample exactly when their ids agree
label           class of the sample
group           name of its quality or role, e.g. "clean" or "noise 0.5"
source          id of what the sample was made from; cells of equal source are left out of scores
sigma           standard deviation of the noise added, 0 for a clean sample; clean ones set the step size;
                infinite for noise alone
noise           kind of noise on a text, "" for a clean one
draw            number of the noise draw; 0 serves as probe and target, further ones for invariance
text            what a language model reads, one statement a line
num_statements  lines of the text; samples of one statement set the step size
world           the draw of nonce words; blocks of the matrix never cross worlds
embed_<k>       coordinate k in a space outside the model, where distance is distance in meaning
prob_<c>        probability of class c under the base model; `measure` adds them where the model has `logits`
==============  ==============================================================================

The samples of a language domain have further columns: see `influence.data.worlds.worlds`.
Columns that hold arrays are inputs: they reach the model and stay out of saved tables.
"""

import hashlib

import numpy as np
import pandas as pd
from jaxtyping import Bool

from influence.arrays import Array


def check(samples: pd.DataFrame, role: str) -> None:
    """Refuse a sample table that cannot be measured.

    Raises:
        ValueError: it is empty, has no `id` column, repeats an id or holds NaN in an input.
    """
    if len(samples) == 0:
        raise ValueError(f"expected at least one {role}, got an empty table; widen the selection")
    if "id" not in samples:
        raise ValueError(f"expected an `id` column in the {role} table, got {list(samples.columns)}; add one")
    repeated = samples["id"][samples["id"].duplicated()]
    if len(repeated):
        raise ValueError(f"expected unique ids in the {role} table, got {repeated.iloc[0]!r} more than once")
    for column in input_columns(samples):
        for sample, value in zip(samples["id"], samples[column], strict=True):
            if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
                raise ValueError(
                    f"expected finite numbers in {column!r} of {role} {sample!r}, got NaN or infinity; "
                    "remove or repair the sample"
                )


def is_clean(samples: pd.DataFrame) -> Bool[Array, " N"]:
    """Samples without noise; all of them where no noise is named."""
    return np.asarray(samples["sigma"]) == 0 if "sigma" in samples else np.ones(len(samples), bool)


def is_pure_noise(samples: pd.DataFrame) -> Bool[Array, " N"]:
    """Samples that are noise alone, made from no clean one."""
    return np.isinf(samples["sigma"].to_numpy(float)) if "sigma" in samples else np.zeros(len(samples), bool)


def is_single(samples: pd.DataFrame) -> Bool[Array, " N"]:
    """Samples of one statement; all of them where statements are not counted.

    Several are learned by the sum of their losses and read as one text, so their self-gain and their symmetry are
    of two different quantities.
    """
    return np.asarray(samples["num_statements"]) == 1 if "num_statements" in samples else np.ones(len(samples), bool)


def is_first_draw(samples: pd.DataFrame) -> Bool[Array, " N"]:
    """Samples of the noise draw that serves as probe and as target; further draws serve invariance alone."""
    return np.asarray(samples["draw"]) == 0 if "draw" in samples else np.ones(len(samples), bool)


def sets_step_size(samples: pd.DataFrame) -> Bool[Array, " N"]:
    """The samples whose median self-gain sets the step size: of one statement, without noise."""
    return is_clean(samples) & is_single(samples)


def input_columns(samples: pd.DataFrame) -> list[str]:
    """Names of the columns whose entries are NumPy arrays."""
    return [str(name) for name in samples if isinstance(samples[name].iloc[0], np.ndarray)]


def without_inputs(samples: pd.DataFrame) -> pd.DataFrame:
    """The table without its array columns: what is saved beside a matrix."""
    return samples.drop(columns=input_columns(samples)).reset_index(drop=True)


def digest(samples: pd.DataFrame) -> str:
    """SHA-256 over every column and entry, inputs included."""
    content = hashlib.sha256(without_inputs(samples).to_csv(index=False).encode())
    for name in input_columns(samples):
        content.update(name.encode())
        for value in samples[name]:
            content.update(np.ascontiguousarray(value).data)
    return content.hexdigest()
