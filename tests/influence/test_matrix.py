import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from influence import InfluenceMatrix
from influence.blocks import Block

NAN = float("nan")


def block(id: str, first_probe: int, first_target: int, gain_PT, before_T, self_gain_P, failure_P=None) -> Block:
    gain_PT = np.array(gain_PT, dtype=float)
    return Block(
        id=id,
        first_probe=first_probe,
        first_target=first_target,
        gain_PT=gain_PT,
        self_gain_P=np.array(self_gain_P, dtype=float),
        before_T=np.array(before_T, dtype=float),
        failure_P=np.array(failure_P or [""] * len(gain_PT), dtype=str),
    )


def matrix_of(blocks: list[Block], probes: pd.DataFrame, targets: pd.DataFrame) -> InfluenceMatrix:
    return InfluenceMatrix(
        blocks=blocks,
        probes=probes,
        targets=targets,
        readout={"name": "log_prob", "unit": "nats", "higher_is_better": True},
        estimator={"name": "finetune", "lr": 0.1, "parameters": None},
        provenance={"commit": "abc", "identity": {"seed": 0}, "noise_floor": 1e-17},
    )


GAIN = np.array([[0.1, 0.2, 0.3, 0.4, 0.5], [NAN] * 5, [2.1, -2.2, 1 / 3, 2.4, 2.5]])


@pytest.fixture
def matrix() -> InfluenceMatrix:
    """Three probes by five targets in blocks of two and one probes; probe b has failed; c is a target too."""
    before_T = [-1.0, -2.0, -3.0, -4.0, -5.0]
    return matrix_of(
        [
            block("000000", 0, 0, GAIN[:2], before_T, [0.7, NAN], ["", "diverged at step 1"]),
            block("000002", 2, 0, GAIN[2:], before_T, [-2.2]),
        ],
        pd.DataFrame({"id": ["a", "b", "c"], "label": [0, 1, 2], "sigma": [0.0, 0.1, NAN]}),
        pd.DataFrame(
            {"id": ["v", "c", "x", "y", "z"], "label": [4, 3, 2, 1, 0], "prob_0": [0.1, 0.2, 0.3, 0.4, 1 / 7]}
        ),
    )


@pytest.fixture
def worlds() -> InfluenceMatrix:
    """Two worlds: one probe by two targets, and two probes by three targets."""
    return matrix_of(
        [
            block("world-7", 0, 0, [[1.0, 2.0]], [-1.0, -2.0], [9.0]),
            block("world-3", 1, 2, [[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]], [-3.0, -4.0, -5.0], [10.0, 11.0]),
        ],
        pd.DataFrame({"id": ["a", "b", "c"], "world": [7, 3, 3]}),
        pd.DataFrame({"id": ["v", "w", "x", "y", "z"], "world": [7, 7, 3, 3, 3]}),
    )


def assert_same(one: InfluenceMatrix, other: InfluenceMatrix) -> None:
    for name in ("gain", "self_gain", "before"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    pd.testing.assert_frame_equal(one.probes, other.probes)
    pd.testing.assert_frame_equal(one.targets, other.targets)
    for name in ("failures", "readout", "estimator", "provenance"):
        assert getattr(one, name) == getattr(other, name)


def test_what_blocks_make_of_a_matrix(matrix):
    np.testing.assert_array_equal(matrix.gain, GAIN)
    np.testing.assert_array_equal(matrix.delta_loss, -GAIN)
    np.testing.assert_array_equal(matrix.self_gain, [0.7, NAN, -2.2])
    np.testing.assert_array_equal(matrix.before, [-1, -2, -3, -4, -5])
    assert matrix.failures == {"b": "diverged at step 1"}


def test_what_was_not_measured_is_nan(worlds):
    expected = [[1, 2, NAN, NAN, NAN], [NAN, NAN, 3, 4, 5], [NAN, NAN, 6, 7, 8]]
    np.testing.assert_array_equal(worlds.gain, expected)
    np.testing.assert_array_equal(worlds.before, [-1, -2, -3, -4, -5])


class TestWorlds:
    def test_come_one_by_one_and_whole(self, worlds):
        first, second = worlds.worlds()
        np.testing.assert_array_equal(first.gain, [[1, 2]])
        np.testing.assert_array_equal(second.gain, [[3, 4, 5], [6, 7, 8]])
        np.testing.assert_array_equal(second.self_gain, [10, 11])
        assert (list(second.probes["id"]), list(second.targets["id"])) == (["b", "c"], ["x", "y", "z"])

    def test_are_one_where_none_is_named(self, matrix):
        (only,) = matrix.worlds()
        assert only is matrix


class TestSelect:
    @pytest.mark.parametrize(
        ("rows", "columns"),
        [([0, 1, 2], [0, 1, 2, 3, 4]), ([0, 2], [1, 3, 4]), ([2], [0, 1]), ([1], [4]), ([0, 1], [2])],
    )
    def test_keeps_order_and_orientation(self, matrix, rows, columns):
        mask_P, mask_T = np.isin(np.arange(3), rows), np.isin(np.arange(5), columns)
        part = matrix.select(probes=mask_P, targets=mask_T)
        np.testing.assert_array_equal(part.gain, GAIN[np.ix_(rows, columns)])
        np.testing.assert_array_equal(part.self_gain, matrix.self_gain[rows])
        np.testing.assert_array_equal(part.before, matrix.before[columns])
        assert list(part.probes["id"]) == [["a", "b", "c"][row] for row in rows]
        assert list(part.targets["id"]) == [["v", "c", "x", "y", "z"][column] for column in columns]
        assert list(part.failures) == ["b"] * (1 in rows)

    def test_of_one_side_keeps_the_other(self, matrix):
        mask = np.array([True, False, True])
        np.testing.assert_array_equal(matrix.select(probes=mask).gain, GAIN[[0, 2]])
        mask = np.array([False, True, True, False, False])
        np.testing.assert_array_equal(matrix.select(targets=mask).gain, GAIN[:, 1:3])

    def test_across_worlds(self, worlds):
        part = worlds.select(probes=np.array([True, False, True]), targets=np.array([False, True, False, True, True]))
        np.testing.assert_array_equal(part.gain, [[2, NAN, NAN], [NAN, 7, 8]])
        part = worlds.select(targets=np.array([False, False, False, False, True]))
        np.testing.assert_array_equal(part.gain, [[NAN], [5], [8]])


def test_failed_probes_count_as_the_lowest_self_gains() -> None:
    def median(*self_gain: float, readout: str = "log_prob") -> float:
        probes = pd.DataFrame({"id": [f"p{n}" for n in range(len(self_gain))]})
        one = block("all", 0, 0, np.zeros((len(self_gain), 1)), np.zeros(1), np.array(self_gain))
        matrix = matrix_of([one], probes, pd.DataFrame({"id": ["t"]}))
        return replace(matrix, readout=matrix.readout | {"name": readout}).median_self_gain

    assert median(0.1, 0.3, 0.5) == 0.3
    assert median(np.nan, 0.1, 0.3, 0.4, 0.5) == 0.3
    assert np.isnan(median(np.nan, np.nan, 0.3))
    assert np.isnan(median(0.3, readout="margin"))


def test_to_frame_by_hand(worlds, matrix):
    expected = pd.DataFrame(
        [
            ("a", "v", -1.0, 1.0, 0.0, False),
            ("a", "w", -2.0, 2.0, 0.0, False),
            ("b", "x", -3.0, 3.0, 0.0, False),
            ("b", "y", -4.0, 4.0, 0.0, False),
            ("b", "z", -5.0, 5.0, 0.0, False),
            ("c", "x", -3.0, 6.0, 3.0, False),
            ("c", "y", -4.0, 7.0, 3.0, False),
            ("c", "z", -5.0, 8.0, 3.0, False),
        ],
        columns=["probe", "target", "before", "gain", "after", "is_self"],
    )
    pd.testing.assert_frame_equal(worlds.to_frame(), expected)
    cells = matrix.to_frame()
    assert len(cells) == 15
    assert cells[cells["is_self"]][["probe", "target", "gain"]].to_numpy().tolist() == [["c", "c", -2.2]]


class TestFolder:
    @pytest.mark.parametrize("kind", ["matrix", "worlds"])
    def test_a_matrix_comes_back_bit_for_bit(self, tmp_path, request, kind):
        matrix = request.getfixturevalue(kind)
        assert_same(InfluenceMatrix.load(matrix.save(tmp_path / "new" / "folder")), matrix)

    def test_inputs_stay_out(self, tmp_path, matrix):
        images = list(np.zeros((3, 1, 2, 2)))
        with_inputs = replace(matrix, probes=matrix.probes.assign(image=images))
        assert_same(InfluenceMatrix.load(with_inputs.save(tmp_path)), matrix)

    def test_a_part_needs_its_own_blocks_only(self, tmp_path, matrix):
        matrix.save(tmp_path)
        (tmp_path / "blocks" / "000000.npz").unlink()
        part = InfluenceMatrix.load(tmp_path, probes=["c"])
        assert_same(part, matrix.select(probes=np.array([False, False, True])))
        with pytest.raises(FileNotFoundError, match=f"expected 2 blocks in {tmp_path}, got 1; run the same command"):
            InfluenceMatrix.load(tmp_path, probes=["c", "a"])

    def test_a_part_keeps_the_order_of_the_matrix(self, tmp_path, matrix):
        matrix.save(tmp_path)
        part = InfluenceMatrix.load(tmp_path, probes=["c", "a"])
        assert_same(part, matrix.select(probes=np.array([True, False, True])))

    def test_a_part_of_a_world(self, tmp_path, worlds):
        worlds.save(tmp_path)
        (tmp_path / "blocks" / "world-7.npz").unlink()
        part = InfluenceMatrix.load(tmp_path, probes=["c"])
        np.testing.assert_array_equal(part.gain, [[NAN, NAN, 6, 7, 8]])

    def test_an_unfinished_matrix_is_loaded_when_asked_for(self, tmp_path, matrix):
        matrix.save(tmp_path)
        (tmp_path / "blocks" / "000002.npz").unlink()
        sentence = rf"expected 2 blocks in {tmp_path}, got 1; run the same command again .* or load with partial=True"
        with pytest.raises(FileNotFoundError, match=sentence):
            InfluenceMatrix.load(tmp_path)
        part = InfluenceMatrix.load(tmp_path, partial=True)
        np.testing.assert_array_equal(part.gain, [*GAIN[:2], [NAN] * 5])
        pd.testing.assert_frame_equal(part.probes, matrix.probes)

    def test_finished_work_is_not_overwritten(self, tmp_path, matrix, worlds):
        matrix.save(tmp_path)
        with pytest.raises(
            FileExistsError, match=f"expected a folder without a matrix, got {tmp_path}; choose another"
        ):
            worlds.save(tmp_path)
        assert_same(InfluenceMatrix.load(tmp_path), matrix)

    def test_a_folder_without_a_matrix_is_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=f"expected an influence matrix in {tmp_path}, got no matrix.json"):
            InfluenceMatrix.load(tmp_path)

    def test_an_unknown_probe_is_refused(self, tmp_path, matrix):
        matrix.save(tmp_path)
        with pytest.raises(ValueError, match="expected ids of probes of the matrix, got 'x'; see its probes table"):
            InfluenceMatrix.load(tmp_path, probes=["a", "x"])

    @pytest.mark.parametrize(("content", "found"), [({"format": 99}, "99"), ({}, "None"), ([], r"\[\]")])
    def test_another_format_is_refused(self, tmp_path, matrix, content, found):
        matrix.save(tmp_path)
        (tmp_path / "matrix.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=f"expected a matrix of format 1 in {tmp_path}, got {found}; load it with"):
            InfluenceMatrix.load(tmp_path)

    def test_a_torn_header_is_refused(self, tmp_path, matrix):
        matrix.save(tmp_path)
        whole = (tmp_path / "matrix.json").read_bytes()
        for torn in (whole[: len(whole) // 2], b"", b"\xff" + whole):
            (tmp_path / "matrix.json").write_bytes(torn)
            with pytest.raises(
                ValueError, match=rf"expected JSON in {tmp_path}/matrix.json, got .*; delete it and run"
            ):
                InfluenceMatrix.load(tmp_path)

    def test_a_torn_block_is_refused(self, tmp_path, matrix):
        matrix.save(tmp_path)
        path = tmp_path / "blocks" / "000000.npz"
        whole = path.read_bytes()
        place = whole.index(GAIN[0].tobytes())
        flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        for torn in (*(whole[:length] for length in range(0, len(whole), 97)), flipped):
            path.write_bytes(torn)
            sentence = rf"expected a whole block of gains in {path}, got a torn file \(.*\); delete it and run the same"
            with pytest.raises(ValueError, match=sentence):
                _ = InfluenceMatrix.load(tmp_path).gain
        path.write_bytes(whole)
        assert_same(InfluenceMatrix.load(tmp_path), matrix)


def test_targets_that_are_the_probes_are_written_once(matrix, tmp_path):
    probes = matrix.probes
    same = replace(matrix, targets=probes.copy(), blocks=[])
    same.save(tmp_path / "same")
    matrix.save(tmp_path / "other")
    assert not (tmp_path / "same" / "targets.parquet").exists()
    pd.testing.assert_frame_equal(InfluenceMatrix.load(tmp_path / "same").targets, probes)
    pd.testing.assert_frame_equal(InfluenceMatrix.load(tmp_path / "other").targets, matrix.targets)
