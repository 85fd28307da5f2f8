import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from influence.desiderata import SCORES, Ratio, Score, score
from influence.desiderata.class_pair import rank_of
from influence.matrix import InfluenceMatrix
from influence.seeds import generator
from influence.stats.jackknife import jackknife_interval
from influence.stats.sign_flip import sign_flip_p
from influence.stats.student import ratio_interval
from tests.influence.desiderata.matrices import images, matrix_of, samples, shuffled, with_probabilities

COLUMNS = ["desideratum", "score", "condition", "value", "low", "high", "p", "n", "unit_of_n"]
COLUMNS += ["verdict", "unit", "better", "note"]


def image_matrix(seed: int = 0, scale: float = 1.0) -> InfluenceMatrix:
    """Ten images of two classes, clean and with two draws of noise: 50 samples."""
    rng = np.random.default_rng(seed)
    table = images(np.arange(10) % 2, sigmas=[0.0, 0.5, 1.0], draws=[0, 1])
    label_N, count = table["label"].to_numpy(), len(table)
    gain_NN = 0.2 * rng.normal(size=(count, count)) + 0.3 * (label_N[:, None] == label_N) + 0.2
    return matrix_of(
        scale * gain_NN,
        with_probabilities(table, rng.dirichlet(np.ones(2), count)),
        self_gain=scale * rng.uniform(0.8, 1.2, count),
        before=-rng.uniform(1, 2, count),
    )


def worlds_matrix(counts: Any = (6, 6, 6), seed: int = 0) -> InfluenceMatrix:
    rng = np.random.default_rng(seed)
    world_N = np.repeat(np.arange(len(counts)), counts)
    table = samples(len(world_N), world=world_N)
    gain_NN = np.where(world_N[:, None] == world_N, rng.normal(1, 1, (len(world_N), len(world_N))), np.nan)
    return matrix_of(gain_NN, table)


def row(frame: pd.DataFrame, name: str) -> Any:
    return frame.set_index("score").loc[name]


def test_every_score_has_a_row_with_all_columns() -> None:
    frame = score(image_matrix())
    assert list(frame.columns) == COLUMNS
    assert list(dict.fromkeys(frame["score"])) == list(SCORES)
    assert (frame["verdict"] == "descriptive").all()
    assert (frame["unit_of_n"] == "sources").all()
    assert (frame["n"] == 10).all()
    # All are defined but the pair 2 -> 9, which two classes do not have.
    assert list(frame.loc[frame["value"].isna(), "score"]) == ["class_pair_rank"]
    assert list(frame.loc[frame["score"] == "noise_discount", "condition"]) == ["sigma=0.5", "sigma=1"]
    assert row(frame, "srm_pair_variance")["unit"] == "nats^2"
    assert row(frame, "class_block")["better"] == "higher"
    assert pd.isna(row(frame, "asymmetry_index")["better"])


def test_permutation_says_nothing_about_symmetry() -> None:
    frame = score(image_matrix(), ["asymmetry_index", "reciprocity", "srm_pair_covariance", "paper_symmetry_spectral"])
    assert frame["p"].isna().all()
    assert frame["low"].notna().all()


def test_interval_of_one_matrix_leaves_out_sources_as_probes_and_targets() -> None:
    matrix = image_matrix()
    without = []
    for source in range(10):
        kept = (matrix.probes["source"] != str(source)).to_numpy()
        without.append(SCORES["asymmetry_index"].measure(matrix.select(probes=kept, targets=kept)).value)
    value = SCORES["asymmetry_index"].measure(matrix).value
    expected = jackknife_interval(value, np.array(without))
    found = row(score(matrix, ["asymmetry_index"]), "asymmetry_index")
    assert (found["value"], found["low"], found["high"]) == (expected.value, expected.low, expected.high)


def test_order_statistics_have_no_jackknife() -> None:
    frame = score(image_matrix(), ["self_gain_median", "self_gain_is_largest"])
    assert frame["low"].notna().tolist() == [False, True]


def test_seeds_are_units() -> None:
    matrices = [image_matrix(seed) for seed in range(6)]
    frame = score(matrices, ["noise_discount", "asymmetry_index", "self_gain_median"], seed=3)
    ratios = [SCORES["noise_discount"].measure(matrix, sigma=1.0) for matrix in matrices]
    numerator_W = np.array([ratio.numerator for ratio in ratios])
    denominator_W = np.array([ratio.denominator for ratio in ratios])
    expected = ratio_interval(numerator_W, denominator_W)
    found = frame.iloc[1]
    assert (found["condition"], found["n"], found["unit_of_n"]) == ("sigma=1", 6, "seeds")
    assert (found["value"], found["low"], found["high"]) == (expected.value, expected.low, expected.high)
    # Without an effect ND is 1: the contrast is N - 1 D.
    rng = generator(3, "noise_discount", "sigma=1")
    assert found["p"] == sign_flip_p(numerator_W - denominator_W, rng)
    assert math.isnan(frame.iloc[2]["p"])
    medians = np.array([float(np.median(matrix.self_gain[:10])) for matrix in matrices])
    assert frame.iloc[3]["value"] == pytest.approx(medians.mean())
    assert frame.iloc[3]["low"] < medians.mean()


def test_worlds_are_units_and_symmetry_is_of_their_mean_matrix() -> None:
    matrix = worlds_matrix()
    worlds = list(matrix.worlds())
    frame = score(matrix, ["reciprocity", "paper_symmetry_frobenius"])
    assert frame["n"].tolist() == [3, 3]
    assert set(frame["unit_of_n"]) == {"worlds"}
    r = [SCORES["reciprocity"].measure(world).value for world in worlds]
    assert frame.iloc[0]["value"] == pytest.approx(np.mean(r))
    mean_NN = np.mean([world.gain for world in worlds], axis=0)
    assert frame.iloc[1]["value"] == pytest.approx(1 / np.linalg.norm(mean_NN - mean_NN.T))
    assert math.isnan(frame.iloc[1]["low"])
    unequal = score(worlds_matrix((6, 5, 6)), ["paper_symmetry_frobenius"]).iloc[0]
    assert math.isnan(unequal["value"])
    assert unequal["note"] == "undefined: expected worlds of one shape for their mean matrix, got several"


def test_worlds_of_several_matrices_are_all_units() -> None:
    frame = score([worlds_matrix(seed=0), worlds_matrix(seed=1)], ["reciprocity"])
    assert (frame.iloc[0]["n"], frame.iloc[0]["unit_of_n"]) == (6, "worlds")


def test_a_score_undefined_in_one_unit_is_undefined() -> None:
    found = score(worlds_matrix((6, 4, 6)), ["srm_pair_variance"]).iloc[0]
    assert math.isnan(found["value"])
    assert found["note"] == "undefined: expected at least 5 samples, got 4 (in 1 of 3 worlds)"


def test_a_failed_probe_is_dropped_as_probe_and_as_target() -> None:
    matrix = image_matrix()
    gain_NN, self_gain_N = matrix.gain.copy(), matrix.self_gain.copy()
    gain_NN[3], self_gain_N[3] = np.nan, np.nan
    failed = matrix_of(gain_NN, matrix.probes, self_gain=self_gain_N, before=matrix.before)
    kept = np.arange(50) != 3
    expected, found = score(matrix.select(probes=kept, targets=kept)), score(failed)
    pd.testing.assert_frame_equal(found.drop(columns="note"), expected.drop(columns="note"))
    assert found["note"].str.endswith("failed probes dropped: 1 of 50").all()
    assert not expected["note"].str.contains("failed").any()


def test_all_probes_failed() -> None:
    frame = score(matrix_of(np.full((4, 4), np.nan), images([0, 0, 1, 1]), self_gain=np.nan))
    assert frame["value"].isna().all()
    assert frame["note"].str.startswith("undefined: ").all()


@pytest.mark.parametrize(
    "matrix",
    [
        matrix_of(np.random.default_rng(0).normal(size=(3, 5)), samples(3), samples(5, prefix="t")),
        matrix_of([[1.0]], samples(1)),
        matrix_of(np.zeros((4, 4)), images([0, 0, 1, 1]), self_gain=0),
        matrix_of(np.ones((4, 4)), images([0, 0, 1, 1])),
    ],
    ids=["rectangular, ids alone", "one cell", "nothing learned", "all alike"],
)
def test_poor_matrices_are_scored_where_they_can_be(matrix: InfluenceMatrix) -> None:
    frame = score(matrix)
    assert set(frame["score"]) == set(SCORES)
    undefined = frame["value"].isna()
    assert (frame.loc[undefined, "note"].str.startswith("undefined: expected")).sum() >= 5
    assert (frame.loc[undefined, "note"] != "").all()
    assert frame.loc[undefined, ["low", "high", "p"]].isna().all(axis=None)


def test_the_note_says_why() -> None:
    frame = score(matrix_of(np.ones((3, 5)), samples(3), samples(5, prefix="t")))
    assert row(frame, "asymmetry_index")["note"] == (
        "undefined: expected the same ids as probes and as targets, got 3 probes and 5 targets with 0 ids in common; "
        "measure a set of samples on itself"
    )
    assert row(frame, "class_block")["note"] == "undefined: expected a column 'label' of the samples, got id"
    assert row(frame, "noise_discount")["note"] == "undefined: expected a column 'sigma' of the samples, got id"


def test_a_denominator_near_zero_makes_no_ratio() -> None:
    matrix = matrix_of(np.ones((6, 6)), images([0, 0, 0, 1, 1, 1]), self_gain=0)
    found = score(matrix, ["class_block"]).iloc[0]
    assert math.isnan(found["value"])
    assert found["note"] == "undefined: the 95 % interval of the denominator touches 0"


def test_no_interval_where_leaving_out_a_source_leaves_no_value() -> None:
    found = score(matrix_of(np.random.default_rng(0).normal(size=(5, 5)), samples(5)), ["srm_pair_variance"]).iloc[0]
    assert not math.isnan(found["value"])
    assert math.isnan(found["low"])
    assert found["note"] == "no interval: without one source, expected at least 5 samples, got 4"


def test_order_of_samples_and_scale_do_not_matter() -> None:
    names = [name for name, spec in SCORES.items() if "{readout}" not in spec.unit]
    numbers = ["value", "low", "high"]
    expected = score(image_matrix(), names)[numbers].to_numpy()
    assert score(shuffled(image_matrix()), names)[numbers].to_numpy() == pytest.approx(expected, nan_ok=True)
    # SEL_h compares samples by their loss before, which scales with the readout and not with the step.
    assert score(image_matrix(scale=1e-5), names)[numbers].to_numpy() == pytest.approx(expected, nan_ok=True)


def test_the_seed_decides_the_draws() -> None:
    names = ["gauge_share", "class_block_beyond_softmax"]
    frames = [score(image_matrix(2), names, seed=seed) for seed in (0, 0, 1)]
    pd.testing.assert_frame_equal(frames[0], frames[1])
    assert (frames[0]["p"] != frames[2]["p"]).any()
    assert (frames[0]["value"] == frames[2]["value"]).all()
    alone = score(image_matrix(2), names[1:], seed=0)
    assert alone["p"].iloc[0] == frames[0]["p"].iloc[1]


def test_a_score_of_ones_own() -> None:
    own = Score(name="mean_gain", desideratum="own", unit="{readout}", measure=lambda m: Ratio(float(m.gain.mean())))
    frame = score(image_matrix(), [own, rank_of(0, 1), "reciprocity"])
    assert frame["score"].tolist() == ["mean_gain", "class_pair_rank", "reciprocity"]
    assert frame["value"].iloc[0] == pytest.approx(image_matrix().gain.mean())
    assert frame["condition"].iloc[1] == "learned=0, read=1"


def test_unknown_scores_and_no_matrix_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected scores among self_gain_median, .*, got 'symetry'"):
        score(image_matrix(), ["symetry"])
    with pytest.raises(ValueError, match="expected at least one influence matrix, got none"):
        score([])


def test_a_desideratum_names_all_its_scores():
    matrix = matrix_of(np.eye(4), pd.DataFrame({"id": list("abcd")}))
    chosen = score(matrix, ["noise", "asymmetry_index"])["score"].tolist()
    family = [name for name, spec in SCORES.items() if spec.desideratum == "noise"]
    assert chosen == [*family, "asymmetry_index"]
