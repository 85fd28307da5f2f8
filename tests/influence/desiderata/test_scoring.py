import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from influence.desiderata import SCORES, Ratio, Score, score
from influence.desiderata.class_pair import rank_of
from influence.desiderata.scoring import compare
from influence.matrix import InfluenceMatrix
from influence.seeds import generator
from influence.stats.jackknife import jackknife_interval
from influence.stats.sign_flip import sign_flip_p
from influence.stats.student import ratio_interval
from tests.influence.desiderata.matrices import images, language, matrix_of, samples, shuffled, with_probabilities

OF_TEXTS = ["unrelated_influence", "relatedness_auc", "direction", "synergy", "premise_gate", "paraphrase_transfer"]
OF_TEXTS += ["reversal_gap", "logical_consistency", "negation_leak", "negation_leak_beyond_padding"]
OF_TEXTS += ["warranted_inference", "unwarranted_inference", "word_variance"]
OF_FEW_TEXTS = ["transitivity", "transitivity_margin", "link_strength", "link_gate", "transitivity_broken"]
OF_FEW_TEXTS += [
    "converse_contrast"
]  # than `language("taxonomy")`, whose premises are two and whose chains not crossed
OF_NOUNS = ["semantic_slope", "semantic_slope_uncontrolled", "semantic_slope_between_labels", "semantic_rank"]
OF_NOUNS += ["semantic_slope_within_categories", "normalised_share"]
OF_IMAGES = ["class_block", "class_block_beyond_softmax", "class_pair_rank", "noise_discount"]
OF_IMAGES += ["selectivity", "selectivity_per_headroom", "invariance", "pure_noise"]
OF_OTHERS = [*OF_TEXTS, *OF_FEW_TEXTS, *OF_NOUNS, "pure_noise"]  # than `image_matrix`, which has no pure noise

COMPARED = ["desideratum", "score", "condition", "value", "low", "high", "low_bca", "high_bca", "p", "n", "unit_of_n"]
COMPARED += ["unit", "better"]
COLUMNS = [*COMPARED, "threshold", "p_good", "p_bad", "p_holm", "p_no_effect", "verdict", "note"]


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
    assert list(dict.fromkeys(frame["score"])) == [name for name in SCORES if name not in OF_OTHERS]
    assert set(frame["verdict"]) == {"diagnostic", "descriptive"}
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


def test_of_many_sources_groups_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("influence.desiderata.evaluation.MOST_PARTS", 4)
    matrix = image_matrix()
    without = []
    for group in (["0", "4", "8"], ["1", "5", "9"], ["2", "6"], ["3", "7"]):  # every fourth of ten
        kept = ~matrix.probes["source"].isin(group).to_numpy()
        without.append(SCORES["asymmetry_index"].measure(matrix.select(probes=kept, targets=kept)).value)
    expected = jackknife_interval(SCORES["asymmetry_index"].measure(matrix).value, np.array(without))
    found = row(score(matrix, ["asymmetry_index"]), "asymmetry_index")
    assert (found["low"], found["high"], found["n"]) == (expected.low, expected.high, 10)


def test_order_statistics_have_no_jackknife() -> None:
    frame = score(image_matrix(), ["self_gain_median", "self_gain_is_largest"])
    assert frame["low"].notna().tolist() == [False, True]


def test_a_unit_of_several_words_stands_in_parentheses() -> None:
    matrix = replace(image_matrix(), readout={"name": "log_prob", "unit": "nats per token"})
    units = score(matrix).set_index("score")["unit"]
    assert units["srm_pair_variance"] == "(nats per token)^2"
    assert units["self_gain_median"] == "nats per token"
    assert units["reciprocity"] == "1"


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
    value = 1 / np.linalg.norm(mean_NN - mean_NN.T)
    without = [np.mean([world.gain for world in worlds if world is not left_out], axis=0) for left_out in worlds]
    expected = jackknife_interval(value, np.array([1 / np.linalg.norm(mean - mean.T) for mean in without]))
    assert frame.iloc[1][["value", "low", "high"]].tolist() == pytest.approx(
        [expected.value, expected.low, expected.high]
    )
    unequal = score(worlds_matrix((6, 5, 6)), ["paper_symmetry_frobenius"]).iloc[0]
    assert math.isnan(unequal["value"])
    assert unequal["note"] == "undefined: expected worlds of one shape, got several"


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


@pytest.mark.parametrize("domain", ["transitivity", "taxonomy", "subset", "natural_isa"])
def test_all_probes_of_one_world_failed(domain: str) -> None:
    """Each score says so, or has a value: none ends in an error."""
    matrix = language(domain, {}, count=3, other=0.5)
    dead = (matrix.probes["world"] == 1).to_numpy()
    frame = score(
        matrix_of(np.where(dead[:, None], np.nan, matrix.gain), matrix.probes, self_gain=np.where(dead, np.nan, 1))
    )
    assert frame.loc[frame["value"].isna(), "note"].str.startswith("undefined: ").all()
    assert frame["note"].str.contains("failed probes dropped").all()


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
    frame = score(matrix, list(SCORES))
    assert set(frame["score"]) == set(SCORES)
    undefined = frame["value"].isna()
    assert (frame.loc[undefined, "note"].str.startswith("undefined: expected")).sum() >= 5
    assert (frame.loc[undefined, "note"] != "").all()
    assert frame.loc[undefined, ["low", "high", "p"]].isna().all(axis=None)


def test_the_note_says_why() -> None:
    frame = score(matrix_of(np.ones((3, 5)), samples(3), samples(5, prefix="t")), list(SCORES))
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
    names = [name for name, spec in SCORES.items() if "{readout}" not in spec.unit and name not in OF_OTHERS]
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


def test_scores_of_other_samples_are_left_out_unless_named() -> None:
    texts = language("taxonomy", {}, count=3, other=0.1)
    found = score(texts)["score"]
    assert list(dict.fromkeys(found)) == [name for name in SCORES if name not in [*OF_IMAGES, *OF_FEW_TEXTS, *OF_NOUNS]]
    assert not set(score(image_matrix())["score"]) & set(OF_TEXTS)
    asked = score(texts, ["noise_discount"]).iloc[0]
    assert asked["note"].startswith("undefined: expected a column 'sigma' of the samples, got id, world, item, role")
    assert asked["note"].endswith("(in 3 of 3 worlds)")
    assert score(image_matrix(), OF_TEXTS)["note"].str.startswith("undefined: expected a column").all()
    # What a domain has no items for is undefined, and said to be.
    notes = score(language("ordering", {}, count=3, other=0.1)).set_index("score")["note"]
    assert (
        notes["negation_leak"].tolist()
        == ["undefined: expected an item contradicted by never, no, not, got none (in 3 of 3 worlds)"] * 2
    )


def texts(seed: int, *, leak: float = 0.5, count: int = 8) -> InfluenceMatrix:
    """Worlds whose statements, of various self-gains, leak this much into their negation."""
    rng = np.random.default_rng(seed)
    self_gain_W = rng.uniform(0.5, 1.5, count)
    gains = {("entailed", "entailed"): self_gain_W, ("entailed", "contradicted"): leak * self_gain_W}
    gains["entailed", "contradicted"] = gains["entailed", "contradicted"] + 0.1 * rng.normal(size=count)
    size = len(language("taxonomy", {}, count=count).probes)
    return language("taxonomy", gains, count=count, other=0.1 * rng.normal(size=(size, size)))


def leaks(matrix: InfluenceMatrix) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator of each world, straight from the cells."""
    learned, read = (np.flatnonzero(matrix.probes["item"] == item) for item in ("entailed", "contradicted"))
    return matrix.gain[learned, read], matrix.self_gain[learned]


def test_difference_of_ratios_by_their_derivatives() -> None:
    left, right = texts(0, leak=0.9), texts(1, leak=0.2)
    found = compare(left, right, ["negation_leak"], seed=5).iloc[0]

    def ratio(numerator_W: np.ndarray, denominator_W: np.ndarray, weight_W: np.ndarray) -> float:
        return (weight_W * numerator_W).sum() / (weight_W * denominator_W).sum()

    ones, step = np.ones(8), 1e-6
    value = ratio(*leaks(left), ones) - ratio(*leaks(right), ones)
    effect_W = np.zeros(8)
    for world, bump in enumerate(step * np.eye(8)):
        up, down = (ratio(*leaks(left), w) - ratio(*leaks(right), w) for w in (ones + bump, ones - bump))
        effect_W[world] = 8 * (up - down) / (2 * step)  # n times the derivative to the world's weight
    half = stats.t.ppf(0.975, 7) * effect_W.std(ddof=1) / np.sqrt(8)
    assert found[["value", "low", "high"]].tolist() == pytest.approx([value, value - half, value + half], abs=1e-8)
    expected_p = sign_flip_p(value + effect_W, generator(5, "negation_leak", "learned=statement"))
    assert found["p"] == pytest.approx(expected_p)
    assert found["p"] == pytest.approx(2 / 2**8)  # every world is on one side
    assert (found["condition"], found["n"], found["unit_of_n"]) == ("learned=statement", 8, "worlds")
    assert (found["unit"], found["better"]) == ("1", "lower")


def test_difference_is_the_paired_t_test_where_self_gains_are_one() -> None:
    rng = np.random.default_rng(0)
    one_W, other_W = rng.normal(0.6, 0.2, 9), rng.normal(0.3, 0.2, 9)
    left, right = (language("subset", {("entailed", "contradicted"): leak}, count=9) for leak in (one_W, other_W))
    expected = stats.ttest_rel(one_W, other_W).confidence_interval()
    found = compare(left, right, ["negation_leak"]).iloc[0]
    assert found[["value", "low", "high"]].tolist() == pytest.approx([(one_W - other_W).mean(), *expected])


def test_difference_changes_its_sign_with_the_sides_and_is_zero_between_equals() -> None:
    left, right = texts(0), texts(1)
    names = ["symmetry", "memorisation", "logical consistency", "word_variance"]
    one, other = compare(left, right, names), compare(right, left, names)
    assert one["value"].tolist() == pytest.approx((-other["value"]).tolist(), nan_ok=True)
    assert one["low"].tolist() == pytest.approx((-other["high"]).tolist(), nan_ok=True)
    assert one["p"].tolist() == pytest.approx(other["p"].tolist(), nan_ok=True)
    same = compare(left, left, names)
    assert (same.loc[same["value"].notna(), ["value", "low", "high"]] == 0).all(axis=None)
    assert (same.loc[same["value"].notna(), "p"] == 1).all()


def test_difference_of_a_score_of_all_worlds_leaves_out_the_same_world_on_both_sides() -> None:
    sides = texts(0), texts(1)
    found = compare(*sides, ["paper_symmetry_frobenius"]).iloc[0]

    def difference(kept: list[int]) -> float:
        measure = SCORES["paper_symmetry_frobenius"].measure
        left, right = ([world for number, world in enumerate(side.worlds()) if number in kept] for side in sides)
        return measure(*left).value - measure(*right).value

    everyone = list(range(8))
    without = np.array([difference([number for number in everyone if number != out]) for out in everyone])
    expected = jackknife_interval(difference(everyone), without)
    assert found[["value", "low", "high"]].tolist() == pytest.approx([expected.value, expected.low, expected.high])


def test_difference_over_seeds() -> None:
    left, right = [image_matrix(seed) for seed in range(5)], [image_matrix(seed, scale=3) for seed in range(5)]
    frame = compare(left, right)
    assert set(frame["unit_of_n"]) == {"seeds"}
    assert row(frame, "asymmetry_index")["value"] == pytest.approx(0, abs=1e-12)  # no score of 1 minds the scale
    medians = [float(np.median(matrix.self_gain[:10])) for matrix in left]
    assert row(frame, "self_gain_median")["value"] == pytest.approx(-2 * np.mean(medians))
    assert not set(frame["score"]) & set(OF_TEXTS)


def test_a_probe_that_failed_on_one_side_is_dropped_on_both() -> None:
    sides, whole = [], [texts(0), texts(1)]
    kept_N = np.ones(len(whole[0].probes), bool)
    for side, world, item in zip(whole, (5, 2), ("p2", "converse"), strict=True):
        failed_N = ((side.probes["world"] == world) & (side.probes["item"] == item)).to_numpy()
        gain_NN = np.where(failed_N[:, None], np.nan, side.gain)
        sides.append(matrix_of(gain_NN, side.probes, self_gain=np.where(failed_N, np.nan, side.self_gain)))
        kept_N &= ~failed_N
    names = ["asymmetry_index", "reciprocity"]
    found = compare(*sides, names)
    expected = compare(*(side.select(probes=kept_N, targets=kept_N) for side in whole), names)
    assert found["value"].tolist() == expected["value"].tolist()
    assert found["note"].tolist() == [f"failed probes dropped: 2 of {len(kept_N)}"] * 2


def test_a_difference_is_undefined_where_either_side_is() -> None:
    flat = language("taxonomy", {}, count=8)
    frame = compare(texts(0), flat, ["asymmetry_index", "negation_leak"])
    assert frame["note"].tolist()[0] == "undefined: right: the 95 % interval of the denominator touches 0"
    assert frame["value"].isna().tolist() == [True, False, False]
    assert compare(flat, texts(0), ["asymmetry_index"])["note"].str.startswith("undefined: left: ").all()


def test_what_cannot_be_compared_is_refused() -> None:
    whole = texts(0)
    first = (whole.probes["world"] < 7).to_numpy()
    with pytest.raises(ValueError, match="expected the same worlds on both sides, got 7 on one alone; measure the"):
        compare(whole, whole.select(probes=first, targets=first))
    with pytest.raises(ValueError, match=r"expected the same samples on both sides, got \('taxonomy-w0-both', '"):
        compare(whole, language("taxonomy", {}, count=8, seed=1))  # the same ids, other names
    with pytest.raises(ValueError, match="expected at least 2 worlds or seeds to compare, got 1; measure more"):
        compare(language("taxonomy", {}), language("taxonomy", {}))
    with pytest.raises(ValueError, match="as many matrices on the left as on the right, got 1 and 2"):
        compare(whole, [whole, whole])
    span = matrix_of(whole.gain, whole.probes, readout="span_log_prob")
    with pytest.raises(ValueError, match="expected one readout on both sides, got log_prob and span_log_prob"):
        compare(whole, span)
    with pytest.raises(ValueError, match="expected at least one influence matrix, got none"):
        compare(whole, [])
