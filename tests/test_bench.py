"""The harness of `make bench` on tiny jobs: what it calculates, and that it refuses wrong numbers."""

import re
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import torch

from influence.models.base import initialise
from influence.models.cnn import CNN
from tests.bench import images, record, timing
from tests.bench.cases import CASES, chosen
from tests.bench.peak import peaks
from tests.bench.timing import ENGINE, NAIVE, Case, Variant, relative_error, run
from tests.small import random_samples

TRUTH = np.array([[1.0, -2.0, 2.0], [3.0, 0.0, 0.0]])
TICK = 0.5


@pytest.fixture(autouse=True)
def _small_gemm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "GEMM_SIZE", 32)


class Clock:
    """Half a second passes whenever it is looked at, and as much as variants say."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += TICK
        return self.now

    def way(self, *seconds: float, probes: int, wrong: float = 0.0) -> Variant:
        """One that takes so long in each round."""
        left: Iterator[float] = iter(seconds)

        def gains(count: int) -> np.ndarray:
            self.now += next(left)
            gain_PT = np.full((count, 3), 7.0)  # where the truth is not known, anything goes
            gain_PT[:2] = TRUTH[:count] + wrong
            return gain_PT

        return Variant(gains=gains, probes=probes, targets=3)


def case(variants: dict[str, Variant], **settings: object) -> Case:
    given = {"truth": lambda: TRUTH, "tolerance": 0.01, "wanted": {"ratio": (2.0, None)}, **settings}
    return Case(what="a job", probes=4, targets=3, variants=variants, **given)


class TestRun:
    def test_takes_medians_of_turns_and_ratios_a_probe(self) -> None:
        clock = Clock()
        lines: list[str] = []
        # Naive 10.5, 12.5, 11.5 s for 2 probes: 5.75 s a probe, after its arithmetic was counted in a call of its own.
        # Engine 4.5, 2.5, 3.5 s for 4: 0.875. The third way 1.5, 1.5, 9.5 s for 1.
        variants = {
            NAIVE: clock.way(0.0, 10.0, 12.0, 11.0, probes=2),
            "third": clock.way(1.0, 1.0, 9.0, probes=1),
            ENGINE: clock.way(4.0, 2.0, 3.0, probes=4),
        }
        measured = run(case(variants), rounds=3, clock=clock, report=lines.append)
        assert measured["ratios"] == {"ratio": 5.75 / 0.875, "third_ratio": 1.5 / 0.875}
        engine = measured["variants"][ENGINE]
        assert (engine["seconds"], engine["probes"]) == ([4.5, 2.5, 3.5], 4)
        rate = 8 * 2 * 32**3 / 1e9 / TICK  # of eight products, GFLOP a second
        assert engine["gemm_gflops"] == [rate] * 3
        assert engine["gemm_mflop_an_entry"] == pytest.approx(1e3 * 3.5 * rate / 12)
        order = [re.search(r"round (\d) of 3, (\w+)", line).groups() for line in lines]
        assert order == [(number, way) for number in "123" for way in variants]

    def test_takes_the_gemm_on_both_sides(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Clock()
        gemms = iter([1.0, 3.0, 5.0])
        monkeypatch.setattr(timing, "gemm_seconds", lambda clock: next(gemms))
        variants = {"third": clock.way(1.0, probes=1), ENGINE: clock.way(1.0, probes=1)}
        measured = run(case(variants), rounds=1, clock=clock, report=str)["variants"]
        assert [way["gemm_gflops"][0] for way in measured.values()] == [
            timing.gemm_gflop() / 2.0,
            timing.gemm_gflop() / 4.0,
        ]

    def test_the_fastest_other_way_stands_in_for_a_naive_loop(self) -> None:
        timed = {name: {"seconds_a_probe": seconds} for name, seconds in (("a", 6.0), ("b", 4.0), (ENGINE, 2.0))}
        assert timing.against_engine(timed) == {"ratio": 2.0, "a_ratio": 3.0, "b_ratio": 2.0}

    @pytest.mark.parametrize("wrong", [0.1, np.nan])
    def test_refuses_wrong_numbers(self, wrong: float) -> None:
        clock = Clock()
        variants = {"third": clock.way(1.0, probes=1), ENGINE: clock.way(1.0, probes=4, wrong=wrong)}
        with pytest.raises(ValueError, match=r"expected the gains of the float64 oracle within 0\.01 from engine, got"):
            run(case(variants), rounds=1, clock=clock, report=str)

    def test_the_error_is_relative_to_the_truth(self) -> None:
        # Deviations .3 and -.4 of numbers 1 and -2: sqrt((.09 + .16) / (1 + 4)).
        measured = np.array([[1.3, -2.4, 9.0], [9.0, 9.0, 9.0]])
        assert relative_error(measured, TRUTH[:1, :2]) == pytest.approx(np.sqrt(0.25 / 5))
        assert relative_error(TRUTH[:1] * 1.5, TRUTH) == pytest.approx(0.5)  # of the one probe that was measured


def small_cnn() -> CNN:
    return initialise(partial(CNN, image_size=8, channels=(3, 4), hidden=6, num_classes=7), seed=0).eval()


def small_images() -> object:
    samples = random_samples(12, "image")
    return samples.assign(image=samples["image"].map(np.float32))


@pytest.mark.parametrize(("optimizer", "num_steps"), [("sgd", 1), ("adam", 3)])
def test_ways_to_learn_images_agree(optimizer: str, num_steps: int) -> None:
    job = images.learned_case(small_cnn(), small_images(), optimizer=optimizer, lr=0.01, num_steps=num_steps)
    measured = run(job, rounds=1, report=str)
    assert list(measured["variants"]) == [NAIVE, "twin", "trainer", ENGINE]
    assert measured["ratios"].keys() == {"ratio", "twin_ratio", "trainer_ratio"}
    assert all(way["error"] < 1e-3 for way in measured["variants"].values())
    assert measured["gemm"]["naive_gflop_a_probe"] > 0


def test_the_twin_pools_otherwise() -> None:
    model = small_cnn()
    twin = images.twin(model)
    assert isinstance(twin.pool, torch.nn.MaxPool2d)
    assert not isinstance(model.pool, torch.nn.MaxPool2d)
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), twin.parameters(), strict=True))


def test_first_order_agrees_with_the_libraries() -> None:
    pytest.importorskip("captum", reason="expected captum, of the extra `bench`, got none")
    pytest.importorskip("kronfluence", reason="expected kronfluence, of the extra `bench`, got none")
    measured = run(images.first_order_case(small_cnn(), small_images()), rounds=1, report=str)
    assert list(measured["variants"]) == ["captum", "kronfluence", ENGINE]
    assert all(way["error"] < 1e-5 for way in measured["variants"].values())


def test_sizes_are_compared_by_what_a_gemm_does_in_their_time() -> None:
    measured = run(images.sizes_case(small_cnn(), small_images(), {4: 4, 12: 6}, lr=0.01), rounds=1, report=str)
    small, large = measured["variants"].values()
    costs = [
        np.mean(way["seconds"]) * np.mean(way["gemm_gflops"]) / entries
        for way, entries in ((small, 4 * 4), (large, 6 * 12))
    ]
    assert measured["ratios"] == {"ratio": pytest.approx(max(costs) / min(costs))}


class TestTexts:
    @pytest.fixture
    def job(self):
        """Networks are tiny, and in float32 as the measured one is."""
        pytest.importorskip("transformers", reason="expected transformers, of the extra `text`, got none")
        from tests.bench import texts
        from tests.tiny_lm import tiny

        model = tiny("gemma3").float()
        lines = [f"a {a} {verb} a {b}" for a in ("klarbu", "mol") for verb in ("is", "has") for b in ("walu", "greev")]
        targets = texts.table(lines)
        probes = texts.table(["\n".join(lines[start::2]) for start in range(2)] + lines[:2])
        return texts, (model.network, model.tokenizer, probes, targets)

    @pytest.mark.parametrize(
        ("settings", "ways"),
        [
            ({"lr": 0.02, "trainer": True}, [NAIVE, "trainer", ENGINE]),
            ({"lr": 1e-3, "optimizer": "adamw"}, [NAIVE, "unfused", ENGINE]),
        ],
    )
    def test_ways_to_learn_agree(self, job, settings, ways) -> None:
        texts, arguments = job
        measured = run(texts.learned_case(*arguments, what="", wanted=1.0, **settings), rounds=1, report=str)
        assert list(measured["variants"]) == ways
        assert all(way["error"] < 1e-4 for way in measured["variants"].values())

    def test_ways_to_prompt_agree(self, job) -> None:
        texts, arguments = job
        measured = run(texts.prompted_case(*arguments), rounds=1, report=str)
        assert all(way["error"] < 1e-4 for way in measured["variants"].values())

    def test_jobs_are_of_the_size_that_they_say(self) -> None:
        from tests.bench import texts

        for targets, beginnings in ((texts.one_world(), 4), (texts.many_worlds(), 64)):
            assert targets["text"].nunique() == texts.NUM_TARGETS
            assert len({text.removeprefix("a ").split()[0] for text in targets["text"]}) == beginnings


HELD = 300 * 2**20


def hungry() -> Case:
    """A case whose variant holds 300 MiB."""
    return case({ENGINE: Variant(gains=lambda count: np.ones(HELD // 8), probes=1, targets=1, peak_probes=1)})


@pytest.mark.slow
def test_the_peak_is_that_of_the_variant_alone() -> None:
    ballast = np.ones(2 * HELD // 8)  # which is not the other process's
    peak = peaks(hungry, [ENGINE])[ENGINE]
    assert peak["peak_gb"] - peak["loaded_gb"] == pytest.approx(HELD / 2**30, rel=0.1)
    assert ballast[0] == 1


class TestKeep:
    def test_records_of_other_cases_stay(self, tmp_path) -> None:
        path = tmp_path / "bench.json"
        record.keep(path, "b", {"ratios": {"ratio": 1.5}, "provenance": {"commit": "old"}})
        record.keep(path, "a", {"ratios": {"ratio": 1 / 3, "twin_ratio": 2.0}, "provenance": {"commit": "new"}})
        assert record.read_json(path) == {
            "a_ratio": 0.333333,
            "a_twin_ratio": 2.0,
            "b_ratio": 1.5,
            "cases": {
                "a": {"ratios": {"ratio": 0.333333, "twin_ratio": 2.0}, "provenance": {"commit": "new"}},
                "b": {"ratios": {"ratio": 1.5}, "provenance": {"commit": "old"}},
            },
        }

    def test_says_where_it_was(self) -> None:
        found = record.where()
        assert found["libraries"]["torch"] == torch.__version__.split("+")[0]
        assert {"commit", "dirty", "machine", "threads"} <= found.keys()


class TestChosen:
    def test_cases_are_named_by_their_beginning(self) -> None:
        assert list(chosen(["prompt", "cnn_sgd"])) == ["cnn_sgd_1", "cnn_sgd_5", "prompt"]
        assert chosen([]) == CASES

    def test_an_unknown_case_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"expected cases among cnn_sgd_1, .*, got 'cmm'; name one"):
            chosen(["cnn", "cmm"])
