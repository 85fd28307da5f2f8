"""Measure a run again and compare: `python -m experiments.repeat outputs/<name>/<hash>`, or a published run.

With the stored configuration, number of threads and base model (trained again where its weights were not kept), into a
temporary folder. On the same machine and versions every number has the same bits. Where one has not, the command says
by how much the gains differ and what of the recorded circumstances did. Frozen gains are kept to a part in 65,000 and
are compared as finely.

Ends with 0 where the numbers are the same, 1 where they are not, 2 where the run cannot be repeated.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments import schema
from experiments.checks import checked
from experiments.progress import ProgressBar
from experiments.run_folder import RunFolder
from influence.matrix import InfluenceMatrix
from influence.matrix_folder import PACKED, read_header

FROZEN_PRECISION = 2.0**-16
"""Relative size of the last bit of a frozen gain."""

CIRCUMSTANCES = ("commit", "dirty", "python", "libraries", "machine", "threads")
"""What the provenance tells of code and machine."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A run beside its repetition.

    Attributes:
        same: whether every number is the same, in bits or as finely as a frozen one is kept.
        largest: difference of a gain, in the unit of the readout.
        relative: the same over the root mean square of the stored gains.
        changed: what else differs, one line each: "libraries.torch: 2.14.0, now 2.14.1".
    """

    same: bool
    largest: float
    relative: float
    changed: list[str]


def main(arguments: Sequence[str] | None = None) -> None:
    """Repeat the run named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="run folder, outputs/<name>/<hash>, published or not")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="measure there and keep it; it can be interrupted")
    options = parser.parse_args(arguments)
    try:
        with nullcontext(options.into) if options.into else tempfile.TemporaryDirectory() as folder:
            result = repeat(options.folder, Path(folder))
    except (ValueError, TypeError, OSError, RuntimeError, ModuleNotFoundError, OmegaConfBaseException) as error:
        print(f"repeat: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(2)
    print(report(result, is_frozen=(options.folder / PACKED).exists()))
    sys.exit(0 if result.same else 1)


def repeat(run: Path, folder: Path) -> Comparison:
    """Measure a finished run again, in another folder.

    Raises:
        FileNotFoundError: there is no such run, or blocks of it are missing.
        ValueError: its configuration no longer fits.
    """
    stored = InfluenceMatrix.load(run)
    cfg = stored_config(run)
    config = checked(cfg)
    from experiments.pipeline import prepare

    again = RunFolder(folder)
    with again.alone(), again.recorded(cfg), ProgressBar() as bar:
        repeated = prepare(config, again)(bar)
    return compare(stored, repeated, is_frozen=(run / PACKED).exists())


def stored_config(run: Path) -> DictConfig:
    """The configuration of a run, with what a frozen one leaves out: the defaults, and the weights kept with it.

    Raises:
        ValueError: it has settings that this version does not know, or given weights that were not kept.
    """
    stored, header = RunFolder(run).config, read_header(run)
    cfg: DictConfig = OmegaConf.structured(schema.Config)
    for name in stored:
        key = str(name)
        kinds = [kind for (group, _), kind in schema.SCHEMAS.items() if group == key]
        # Of the kinds that have all these settings the one with the fewest others.
        fitting = [kind for kind in kinds if set(stored[key]) <= {field.name for field in fields(kind)}]
        if kinds and not fitting:
            raise ValueError(f"expected settings of {key} that this version knows, got {', '.join(stored[key])}")
        if fitting:
            cfg[key] = OmegaConf.structured(min(fitting, key=lambda kind: len(fields(kind))))
    cfg = OmegaConf.merge(cfg, stored)  # type: ignore[assignment]
    cfg.engine.threads = header["provenance"]["threads"]
    cfg.shard = schema.ShardConfig()
    cfg.tracking.mode = "off"
    if "outputs" not in stored:
        base = header["provenance"]["base_model"]
        kept = run.resolve().parents[1] / "models" / base["folder"] / "weights.safetensors"
        if "weights" in cfg.model and kept.exists():
            cfg.model.weights = str(kept)
        elif cfg.model.get("weights") is not None:
            raise ValueError(f"expected weights in {kept}, got no such file; they are needed to repeat the run")
    return cfg


def compare(stored: InfluenceMatrix, repeated: InfluenceMatrix, *, is_frozen: bool) -> Comparison:
    """How two measurements of one run differ."""
    numbers = [[getattr(matrix, name) for name in ("gain", "self_gain", "before")] for matrix in (stored, repeated)]
    if any(one.shape != other.shape for one, other in zip(*numbers, strict=True)):
        raise ValueError(
            f"expected {stored.gain.shape[0]} x {stored.gain.shape[1]} gains again, got {repeated.gain.shape[0]} x "
            f"{repeated.gain.shape[1]}; the samples are others now"
        )
    if is_frozen:
        same = all(
            np.allclose(other, one, rtol=FROZEN_PRECISION, atol=0, equal_nan=True)
            for one, other in zip(*numbers, strict=True)
        )
    else:
        same = all(np.array_equal(one, other, equal_nan=True) for one, other in zip(*numbers, strict=True))
    difference = np.abs(repeated.gain - stored.gain)
    largest = float(np.nanmax(difference)) if np.isfinite(difference).any() else 0.0
    size = float(np.sqrt(np.nanmean(stored.gain**2))) if np.isfinite(stored.gain).any() else 0.0
    return Comparison(
        same=same and stored.failures == repeated.failures,
        largest=largest,
        relative=largest / size if size else 0.0,
        changed=_changes(stored, repeated),
    )


def report(result: Comparison, *, is_frozen: bool) -> str:
    """What a person reads."""
    if result.same:
        how = "to a part in 65,000, as finely as frozen gains are kept" if is_frozen else "bit for bit"
        lines = [f"The same numbers, {how}."]
    else:
        lines = [
            f"Other numbers: gains differ by up to {result.largest:.3g}, "
            f"{result.relative:.3g} of their root mean square."
        ]
    changed = result.changed or ["nothing that is recorded"]
    return "\n".join([*lines, "Changed since:", *(f"  {line}" for line in changed)])


def _changes(stored: InfluenceMatrix, repeated: InfluenceMatrix) -> list[str]:
    circumstances, digests = [], []
    for matrix in (stored, repeated):
        provenance = matrix.provenance
        circumstances.append(_flat({name: provenance.get(name) for name in CIRCUMSTANCES}))
        circumstances[-1]["learning rate"] = matrix.estimator.get("lr")
        digests.append({name: provenance["identity"].get(name) for name in ("weights", "probes", "targets")})
    return [
        *(
            f"{name}: {old}, now {circumstances[1].get(name)}"
            for name, old in circumstances[0].items()
            if old != circumstances[1].get(name)
        ),
        *(f"{name}: others" for name, old in digests[0].items() if old != digests[1][name]),
    ]


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in node.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


if __name__ == "__main__":
    main()
