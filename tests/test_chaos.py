"""Sweeps that are killed, interrupted and out of disk end with the bits of undisturbed ones."""

from functools import partial
from importlib.util import find_spec

import pandas as pd
import pytest

from experiments.published import CHAOS, PUBLISHED
from tests import chaos
from tests.experiments.commands import execute

KEPT = pd.read_csv(PUBLISHED / CHAOS).set_index("launcher", drop=False)


def test_the_table_has_the_sweeps_that_were_disturbed():
    done = KEPT[["jobs", "matrices", "disks_filled", "interrupts"]]
    assert done.loc["submitit_local"].tolist() == [12, 4, 1, 2]
    assert done.loc["ray"].tolist() == [4, 2, 1, 2]
    assert (KEPT["workers_killed"] > 1).all()
    assert (KEPT["blocks"] == 20 * KEPT["matrices"]).all()  # 40 probes, two a block


def test_nothing_finished_was_measured_twice_and_no_bit_differs():
    assert (KEPT[["blocks_measured_twice", "blocks_that_differ"]] == 0).all(axis=None)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_worker_costs_its_own_block(tmp_path):
    (tmp_path / "logs").mkdir()
    disturbed, plain = tmp_path / "disturbed", tmp_path / "plain"
    sweep = chaos.Sweep("submitit_local", disturbed, ["shard.count=3", "shard.index=range(3)"], tmp_path / "logs")
    assert sweep.run(partial(chaos.kills, count=1)) == 1
    left = set(disturbed.glob("chaos/*/blocks/[!.]*.npz"))
    assert 0 < len(left) < 20
    assert sweep.run() == 0
    assert len(set(disturbed.glob("chaos/*/blocks/[!.]*.npz")) - left) == 20 - len(left)
    assert sweep.written_again == set()
    execute(plain, *chaos.SMALL)
    assert chaos.differing(disturbed, plain) == 0


@pytest.mark.verify
def test_a_job_whose_time_is_over_is_queued_again_and_goes_on(tmp_path):
    (tmp_path / "logs").mkdir()
    sweep = chaos.Sweep("submitit_local", tmp_path / "disturbed", ["seed=0"], tmp_path / "logs")
    assert sweep.run(chaos.preempts) == 0  # by one command
    assert "Requeued job" in sweep.printed()
    assert len(sweep.seen) == 21  # and the base model
    assert sweep.written_again == set()


@pytest.mark.slow
def test_a_block_that_is_written_again_and_one_with_other_bits_are_noticed(tmp_path):
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder, lr in zip(folders, ("0.01", "0.02"), strict=True):
        run = execute(folder, *chaos.SMALL, "estimator.num_steps=1", f"estimator.lr={lr}")
        run.path.rename(run.path.with_name("run"))
    assert chaos.differing(folders[0], folders[0]) == 0
    assert chaos.differing(*folders) == 20
    sweep = chaos.Sweep("submitit_local", folders[0], [], tmp_path)
    sweep.look()
    block = folders[0] / "chaos" / "run" / "blocks" / "000000.npz"
    content = block.read_bytes()
    block.unlink()
    block.write_bytes(content)
    sweep.look()
    assert sweep.written_again == {block}


@pytest.mark.verify
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("launcher", ["submitit_local", "ray"])
def test_the_table_is_made_anew(tmp_path, launcher):
    if launcher == "ray" and find_spec("hydra_plugins.hydra_ray_launcher") is None:
        pytest.skip("expected Hydra's launcher for Ray, got none; install it with `make engines`")
    try:
        outcome = chaos.chaos(launcher, tmp_path / launcher)
    except PermissionError as error:
        pytest.skip(str(error))
    assert outcome._asdict() == KEPT.loc[launcher].to_dict()
