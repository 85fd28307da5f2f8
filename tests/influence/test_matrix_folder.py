"""Matrices on disk: what an interrupt, shards and the blocks of others leave of them."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from influence import FineTune, FirstOrder, InfluenceMatrix, measure
from influence.matrix_folder import check_blocks
from influence.step_size import StepSize, find_step_size
from tests.small import NUM_CLASSES, assert_same_bits, ready, relu_cnn

ESTIMATORS = [FineTune(lr=0.1, num_steps=2), FirstOrder(lr=0.1)]


def files(folder) -> dict:
    """Content and identity of every file: a file that is written again has another inode."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


class TestResume:
    @pytest.mark.parametrize("estimator", ESTIMATORS)
    def test_only_the_missing_block_is_measured(self, tmp_path, many, targets, estimator):
        model = ready(relu_cnn)
        whole = measure(model, many, targets, estimator=estimator, block_size=2, folder=tmp_path)
        before = files(tmp_path)
        lost = "blocks/000002.npz"
        (tmp_path / lost).unlink()
        again = measure(model, many, targets, estimator=estimator, block_size=2, folder=tmp_path)
        after = files(tmp_path)
        assert_same_bits(whole, again)
        assert after.pop(lost)[0] == before.pop(lost)[0]
        assert after == before

    @pytest.mark.parametrize("estimator", ESTIMATORS)
    def test_after_an_interrupt_the_rest_is_measured(self, tmp_path, many, targets, estimator):
        def interrupt(done: int, total: int) -> None:
            if done == 3:
                raise KeyboardInterrupt

        model = ready(relu_cnn)
        undisturbed = measure(model, many, targets, estimator=estimator, block_size=2)
        with pytest.raises(KeyboardInterrupt):
            measure(model, many, targets, estimator=estimator, block_size=2, folder=tmp_path, progress=interrupt)
        part = InfluenceMatrix.load(tmp_path, partial=True)
        np.testing.assert_array_equal(part.gain[:2], undisturbed.gain[:2])
        assert np.isnan(part.gain[2:]).all()
        measured = []
        resumed = measure(
            model,
            many,
            targets,
            estimator=estimator,
            block_size=2,
            folder=tmp_path,
            progress=lambda done, total: measured.append(done),
        )
        assert measured == [2, 3, 4, 4, 5, 6, 6, 7, 7]  # the first block was there
        assert_same_bits(undisturbed, resumed)
        assert_same_bits(undisturbed, InfluenceMatrix.load(tmp_path))

    def test_the_plan_of_blocks_stays_as_it_was_begun(self, tmp_path, many, targets):
        model, estimator = ready(relu_cnn), FineTune(lr=0.1)
        measure(model, many, targets, estimator=estimator, block_size=3, folder=tmp_path)
        before = files(tmp_path)
        measure(model, many, targets, estimator=estimator, block_size=2, folder=tmp_path)
        assert files(tmp_path) == before

    def test_the_step_size_is_searched_once(self, tmp_path, monkeypatch, probes, targets):
        model, estimator = ready(relu_cnn), FineTune(self_gain=0.3)
        whole = measure(model, probes, targets, estimator=estimator, folder=tmp_path)
        assert np.median(whole.self_gain) == pytest.approx(0.3, rel=0.05)
        (tmp_path / "blocks" / "000000.npz").unlink()
        monkeypatch.setattr("influence.measurement.find_step_size", None)
        again = measure(model, probes, targets, estimator=estimator, folder=tmp_path)
        assert_same_bits(whole, again)
        assert again.estimator["step_size"] == whole.estimator["step_size"]

    def test_settings_that_json_writes_otherwise_are_the_same_settings(self, tmp_path, probes):
        model = ready(relu_cnn)
        estimator = FineTune(
            optimizer="adam", optimizer_options={"betas": (0.8, 0.9)}, lr=0.01, parameters=("output.*",)
        )
        whole = measure(model, probes, estimator=estimator, folder=tmp_path)
        assert_same_bits(whole, measure(model, probes, estimator=estimator, folder=tmp_path))

    @pytest.mark.parametrize("other", ["weights", "probes", "targets", "seed", "readout", "estimator"])
    def test_a_folder_of_another_matrix_is_refused(self, tmp_path, probes, targets, other):
        model = ready(relu_cnn)
        same = {"estimator": FineTune(lr=0.1), "readout": "log_prob", "seed": 0}
        measure(model, probes, targets, folder=tmp_path, **same)
        before = files(tmp_path)
        if other == "weights":
            model.output.bias.data[0] = torch.nextafter(model.output.bias.data[0], torch.tensor(1.0).double())
        elif other == "probes":
            probes.at[1, "image"] = 0.5 * probes["image"][1]
        elif other == "targets":
            targets.at[4, "label"] = (targets["label"][4] + 1) % NUM_CLASSES
        else:
            same[other] = {"estimator": FineTune(lr=0.2), "readout": "logit", "seed": 1}[other]
        sentence = rf"expected {tmp_path} to hold the same matrix, got one with other {other} \(.*choose another folder"
        with pytest.raises(ValueError, match=sentence):
            measure(model, probes, targets, folder=tmp_path, **same)
        assert files(tmp_path) == before


class TestShards:
    @pytest.mark.parametrize("count", [2, 5])
    def test_give_the_same_files_in_whatever_order(self, tmp_path, many, targets, count):
        """Four blocks, of which the fifth shard has none."""
        one, several, estimator = tmp_path / "one", tmp_path / "several", FineTune(self_gain=0.3)
        measure(ready(relu_cnn), many, targets, estimator=estimator, block_size=2, folder=one)
        for index in reversed(range(count)):
            part = measure(
                ready(relu_cnn),
                many,
                targets,
                estimator=estimator,
                block_size=2,
                folder=several,
                shard=(index, count),
            )
            measured = {f"{2 * position:06d}" for position in range(4) if position % count >= index}
            assert {block.id for block in part.blocks} == measured
        names = ["matrix.json", *(f"blocks/{2 * position:06d}.npz" for position in range(4))]
        for name in names:
            assert (one / name).read_bytes() == (several / name).read_bytes(), name

    def test_tell_of_their_own_probes(self, tmp_path, many, targets):
        told = []
        measure(
            ready(relu_cnn),
            many,
            targets,
            estimator=FineTune(lr=0.1),
            block_size=2,
            folder=tmp_path,
            shard=(1, 2),
            progress=lambda done, total: told.append((done, total)),
        )
        assert told == [(0, 3), (1, 3), (2, 3), (2, 3), (3, 3), (3, 3)]  # of the blocks 2 to 3, and 6

    @pytest.mark.parametrize(("shard", "shared"), [((2, 2), True), ((-1, 2), True), ((0, 0), True), ((0, 2), False)])
    def test_that_are_none_are_refused(self, tmp_path, probes, shard, shared):
        with pytest.raises(
            ValueError, match=r"expected a shard \(index, count\) with 0 <= index < count, and a folder"
        ):
            measure(
                ready(relu_cnn),
                probes,
                estimator=FineTune(lr=0.1),
                shard=shard,
                folder=tmp_path if shared else None,
            )

    def test_begin_once(self, tmp_path, many, targets, monkeypatch):
        """Of two at once the second waits for the header of the first, and searches no step size."""
        searches, inside, go_on = [], threading.Event(), threading.Event()

        def find(*arguments: Any, **settings: Any) -> StepSize:
            searches.append(threading.get_ident())
            inside.set()
            assert go_on.wait(10)
            return find_step_size(*arguments, **settings)

        monkeypatch.setattr("influence.measurement.find_step_size", find)

        def shard(index: int) -> None:
            measure(
                ready(relu_cnn),
                many,
                targets,
                estimator=FineTune(self_gain=0.3),
                block_size=2,
                folder=tmp_path,
                shard=(index, 2),
            )

        threads = [threading.Thread(target=shard, args=(index,)) for index in range(2)]
        threads[0].start()
        assert inside.wait(10)
        threads[1].start()
        threads[1].join(0.5)  # long enough to search, were it let in
        assert len(searches) == 1
        go_on.set()
        for thread in threads:
            thread.join(30)
        assert len(searches) == 1
        check_blocks(tmp_path)


class TestBlocksOfAnotherMatrix:
    @pytest.fixture
    def folders(self, tmp_path, many, targets) -> dict[str, Path]:
        """One matrix, and others that differ from it in one thing each."""
        other_model = ready(relu_cnn)
        other_model.output.bias.data += 1
        kinds: dict[str, Any] = {
            "this": (ready(relu_cnn), many, 0.1),
            "weights": (other_model, many, 0.1),
            "data": (ready(relu_cnn), many.assign(label=1), 0.1),
            "settings": (ready(relu_cnn), many, 0.2),
        }
        for kind, (model, probes, lr) in kinds.items():
            measure(model, probes, targets, estimator=FineTune(lr=lr), block_size=2, folder=tmp_path / kind)
        return {kind: tmp_path / kind for kind in kinds}

    @pytest.mark.parametrize("other", ["weights", "data", "settings"])
    def test_are_refused(self, folders, many, targets, other):
        here = folders["this"] / "blocks" / "000004.npz"
        shutil.copy(folders[other] / "blocks" / "000004.npz", here)
        sentence = f"expected {here} to be a block of this matrix, got one measured with other {other}; delete it and"
        with pytest.raises(ValueError, match=sentence):
            check_blocks(folders["this"])
        with pytest.raises(ValueError, match=sentence):
            measure(ready(relu_cnn), many, targets, estimator=FineTune(lr=0.1), block_size=2, folder=folders["this"])

    def test_those_of_nobody_knows_what_are_taken(self, folders):
        """As of before blocks were stamped."""
        matrix = InfluenceMatrix.load(folders["this"])
        replace(matrix.blocks[1], stamp={}).save(folders["this"] / "blocks")
        check_blocks(folders["this"])
        assert_same_bits(InfluenceMatrix.load(folders["this"]), matrix)

    def test_missing_ones_are_named(self, folders):
        for name in ("000000", "000006"):
            (folders["this"] / "blocks" / f"{name}.npz").unlink()
        with pytest.raises(
            FileNotFoundError,
            match=f"expected 4 blocks in {folders['this']}, got none for 000000, 000006; run the same command again",
        ):
            check_blocks(folders["this"])
