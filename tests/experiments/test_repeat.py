"""To measure a run again and compare: the same, or what differs and what changed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import freeze, repeat
from influence.files import read_json, write_json
from influence.matrix import InfluenceMatrix
from tests.experiments.commands import written


def again(folder: Path) -> int:
    with pytest.raises(SystemExit) as caught:
        repeat.main([str(folder)])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_a_run_has_the_same_bits_again_and_is_left_alone(smoke_copy, capsys):
    before = written(smoke_copy.path)
    assert again(smoke_copy.path) == 0
    assert capsys.readouterr().out.splitlines()[0] == "The same numbers, bit for bit."
    assert written(smoke_copy.path) == before


def test_another_bit_and_what_changed_are_told(smoke_copy, capsys):
    """One gain is off by its last bit, and the record names another torch."""
    (block,) = InfluenceMatrix.load(smoke_copy.path).blocks
    gain_PT = block.gain_PT.copy()
    gain_PT[2, 5] = np.nextafter(gain_PT[2, 5], np.inf)
    replace(block, gain_PT=gain_PT).save(smoke_copy.path / "blocks")
    header = read_json(smoke_copy.path / "matrix.json")
    header["provenance"]["libraries"]["torch"] = "2.13.0"
    write_json(smoke_copy.path / "matrix.json", header)
    assert again(smoke_copy.path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Other numbers: gains differ by up to ")
    assert float(lines[0].split("up to ")[1].split(",")[0]) == pytest.approx(np.spacing(gain_PT[2, 5]), rel=0.5)
    assert any(line.startswith("  libraries.torch: 2.13.0, now ") for line in lines)


def test_a_frozen_run_is_compared_as_finely_as_it_is_kept(smoke_copy, tmp_path, capsys):
    header = read_json(smoke_copy.path / "matrix.json")
    header["provenance"]["dirty"] = False
    write_json(smoke_copy.path / "matrix.json", header)
    frozen = freeze.freeze(smoke_copy.path, tmp_path / "published")
    assert again(frozen) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("The same numbers, to a part in 65,000")


@pytest.mark.parametrize(("off", "same"), [(2**-18, True), (2**-15, False)])
def test_frozen_gains_that_are_off_by_more_are_others(smoke, off, same):
    matrix = InfluenceMatrix.load(smoke.path)
    (block,) = matrix.blocks
    other = replace(matrix, blocks=[replace(block, gain_PT=block.gain_PT * (1 + off))])
    found = repeat.compare(matrix, other, is_frozen=True)
    assert found.same == same
    size = np.sqrt((matrix.gain**2).mean())
    assert found.relative == pytest.approx(off * np.abs(matrix.gain).max() / size)
    assert not repeat.compare(matrix, other, is_frozen=False).same


def test_what_cannot_be_repeated_ends_with_2(smoke_copy, capsys, tmp_path):
    assert again(tmp_path / "nowhere") == 2
    assert "repeat: expected an influence matrix in" in capsys.readouterr().err
    config = (smoke_copy.path / "config.yaml").read_text()
    (smoke_copy.path / "config.yaml").write_text(config.replace("optimizer: sgd", "optimiser: sgd"))
    assert again(smoke_copy.path) == 2
    assert (
        "repeat: expected settings of estimator that this version knows, got name, optimiser" in capsys.readouterr().err
    )
