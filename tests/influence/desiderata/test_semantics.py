import numpy as np
import pandas as pd
import pytest

from influence.desiderata import score
from influence.desiderata.class_block import softmax_coupling
from influence.desiderata.semantics import normalised_share, semantic_rank, semantic_slope, semantic_slope_p
from influence.desiderata.spec import NotApplicableError, UndefinedError
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import images, matrix_of, samples, with_probabilities

PRIMARY = {"same_label": True, "controlled": True}


def embedded(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    place_ND = np.random.default_rng(seed).normal(size=(len(table), 3))
    return table.assign(**{f"embed_{axis}": place_ND[:, axis] for axis in range(3)})


def distances(table: pd.DataFrame) -> np.ndarray:
    place_ND = table[["embed_0", "embed_1", "embed_2"]].to_numpy()
    return np.linalg.norm(place_ND[:, None] - place_ND, axis=-1)


def digits(slope: float, *, between: float = 0.0, noise: float = 0.1, seed: int = 0, scale: float = 1.0):
    """24 images of two classes whose gains fall with distance by `slope` inside, `between` across classes.

    Each teaches, and is taught, by a size of its own, which normalising takes away.
    """
    rng = np.random.default_rng(seed)
    table = embedded(images(np.arange(24) % 2), seed)
    table = with_probabilities(table, rng.dirichlet(np.ones(2), 24))
    label_N = table["label"].to_numpy()
    slope_NN = np.where(label_N[:, None] == label_N, slope, between)
    normal_NN = 1 + slope_NN * distances(table) + noise * rng.normal(size=(24, 24))
    normal_NN += rng.normal(size=24)[:, None] + rng.normal(size=24)
    size_N = rng.uniform(0.5, 2, 24)
    return matrix_of(scale * np.outer(size_N, size_N) * normal_NN, table, self_gain=scale * size_N**2)


def same_label_spread(matrix: InfluenceMatrix) -> float:
    label_N = matrix.probes["label"].to_numpy()
    used = (label_N[:, None] == label_N) & ~np.eye(len(label_N), dtype=bool)
    return float(distances(matrix.probes)[used].std())


def test_slope_is_the_planted_one_per_standard_deviation() -> None:
    matrix = digits(-0.3, noise=0.0)
    expected = -0.3 * same_label_spread(matrix)
    assert semantic_slope(matrix, **PRIMARY).value == pytest.approx(expected, rel=1e-9)
    assert semantic_slope(matrix, same_label=True, controlled=False).value == pytest.approx(expected, rel=1e-9)


def test_slopes_inside_and_between_labels_are_apart() -> None:
    matrix = digits(-0.3, between=0.5, noise=0.0)
    assert semantic_slope(matrix, **PRIMARY).value < 0
    assert semantic_slope(matrix, same_label=False, controlled=True).value > 0


def test_scale_and_order_do_not_matter() -> None:
    matrix = digits(-0.3)
    expected = semantic_slope(matrix, **PRIMARY).value
    assert semantic_slope(digits(-0.3, scale=1e-4), **PRIMARY).value == pytest.approx(expected, rel=1e-9)
    order = np.random.default_rng(1).permutation(24)
    shuffled = matrix_of(
        matrix.gain[np.ix_(order, order)],
        matrix.probes.iloc[order].reset_index(drop=True),
        self_gain=matrix.self_gain[order],
    )
    assert semantic_slope(shuffled, **PRIMARY).value == pytest.approx(expected, rel=1e-9)
    assert semantic_rank(shuffled).value == pytest.approx(semantic_rank(matrix).value)


def test_a_planted_slope_is_found_and_a_shuffled_one_is_not() -> None:
    found = score(digits(-0.3), ["semantics"]).set_index("score")
    assert found.loc["semantic_slope", "p"] < 0.001
    assert found.loc["semantic_slope", "high"] < 0
    assert found.loc["semantic_slope_between_labels", "p"] > 0.01
    assert found.loc["semantic_rank", "p"] < 0.05
    null = score(digits(0.0, seed=3), ["semantics"])
    assert null["p"].min() > 0.01


def test_a_constant_kernel_has_no_slope_beyond_its_control() -> None:
    """M = C, all of whose structure comes from the softmax, with distances that follow the probabilities."""
    rng = np.random.default_rng(0)
    table = images(np.arange(30) % 3)
    probability_NC = rng.dirichlet(np.ones(3), 30)
    table = with_probabilities(table, probability_NC)
    table = table.assign(**{f"embed_{c}": probability_NC[:, c] for c in range(3)})
    coupling_NN = softmax_coupling(table["label"].to_numpy(), probability_NC)
    matrix = matrix_of(coupling_NN, table, self_gain=coupling_NN.diagonal())
    assert semantic_slope(matrix, **PRIMARY).value == pytest.approx(0, abs=1e-9)
    assert semantic_slope_p(matrix, rng, **PRIMARY) == 1
    assert semantic_slope(matrix, same_label=True, controlled=False).value < -0.01
    assert semantic_slope_p(matrix, rng, same_label=True, controlled=False) < 0.05


def test_words_in_common_are_controlled_in_texts() -> None:
    """Gains that follow the words alone, and distances that do so too, noisily."""
    rng = np.random.default_rng(0)
    words = np.array(["red", "blue", "green", "old", "new", "tall", "small", "kind"])
    texts = [" ".join(rng.choice(words, 4, replace=False)) for _ in range(16)]
    read = [f"{text.capitalize()}." for text in texts]
    overlap = np.array(
        [[len(set(a.split()) & set(b.split())) / len(set(a.split()) | set(b.split())) for b in texts] for a in texts]
    )
    vectors = np.array([[word in text.split() for word in words] for text in texts], float)
    vectors += 0.3 * rng.normal(size=vectors.shape)
    table = samples(16, text=read, **{f"embed_{d}": vectors[:, d] for d in range(8)})
    matrix = matrix_of(overlap, table)
    assert semantic_slope(matrix, same_label=True, controlled=False).value < -0.05
    assert semantic_slope(matrix, **PRIMARY).value == pytest.approx(0, abs=1e-9)


def nouns(slope: float, *, across: float) -> InfluenceMatrix:
    """24 sentences of two categories whose gains fall with distance by `slope` inside, by `across` between them."""
    table = embedded(samples(24, label=np.arange(24) % 2, text=[f"word{n}" for n in range(24)]))
    label_N = table["label"].to_numpy()
    slope_NN = np.where(label_N[:, None] == label_N, slope, across)
    return matrix_of(1 + slope_NN * distances(table), table)


def test_texts_are_alike_by_what_they_are_and_within_categories_beside() -> None:
    """The label of texts is their type, sentence or bare name: all sentences count."""
    found = score(nouns(0.0, across=-0.3), ["semantics"]).set_index("score")
    assert found.loc["semantic_slope", "value"] < -0.05
    assert found.loc["semantic_slope_within_categories", "value"] == pytest.approx(0, abs=1e-9)
    assert score(nouns(-0.3, across=0.0), ["semantic_slope_within_categories"])["value"][0] < -0.05
    named = nouns(-0.3, across=-0.3)
    table = named.probes.assign(role=["name"] * 3 + ["statement"] * 21)
    gain = named.gain.copy()
    gain[:3, 3:] = gain[3:, :3] = 100.0  # between a name and a sentence
    read = semantic_slope(matrix_of(gain, table)).value
    assert -1 < read < -0.05
    assert "semantic_slope_within_categories" not in set(score(digits(-0.3), None)["score"])


def test_rank_by_hand() -> None:
    """Four on a line at 0, 1, 3, 7: gains are minus the distance, so the ranks are reversed in full."""
    table = samples(4, embed_0=[0.0, 1.0, 3.0, 7.0])
    gap = np.abs(np.subtract.outer(table["embed_0"].to_numpy(), table["embed_0"].to_numpy()))
    assert semantic_rank(matrix_of(10 - gap, table)).value == pytest.approx(1)
    assert semantic_rank(matrix_of(10 + gap, table)).value == pytest.approx(-1)


def test_samples_that_hardly_teach_themselves_are_left_out() -> None:
    matrix = digits(-0.3)
    broken = matrix.gain.copy()
    broken[5] = 1e3
    self_gain = matrix.self_gain.copy()
    self_gain[5] = 0.01 * np.median(self_gain)
    without = np.arange(24) != 5
    weak = matrix_of(broken, matrix.probes, self_gain=self_gain)
    assert normalised_share(weak).value == 23 / 24
    found = semantic_slope(weak, **PRIMARY)
    assert found.value == pytest.approx(semantic_slope(matrix.select(probes=without, targets=without), **PRIMARY).value)


def test_texts_of_several_statements_are_left_out() -> None:
    matrix = digits(-0.3)
    single = np.arange(24) > 1
    table = matrix.probes.assign(num_statements=np.where(single, 1, 2))
    found = semantic_slope(matrix_of(matrix.gain, table, self_gain=matrix.self_gain), **PRIMARY)
    assert found.value == pytest.approx(semantic_slope(matrix.select(probes=single, targets=single), **PRIMARY).value)


def test_what_is_missing_is_said() -> None:
    with pytest.raises(NotApplicableError, match="expected a column 'embed_0' of the samples, got id, label"):
        semantic_slope(matrix_of(np.ones((4, 4)), images([0, 0, 1, 1])), **PRIMARY)
    table = embedded(images([0, 1, 2, 3]))
    with pytest.raises(UndefinedError, match="expected clean samples with a median self-gain above 0, got -1"):
        normalised_share(matrix_of(np.ones((4, 4)), table, self_gain=-1))
    with pytest.raises(UndefinedError, match="expected at least 3 cells of equal labels, got 0"):
        semantic_slope(matrix_of(np.ones((4, 4)), table), **PRIMARY)
    alike = images([0] * 4).assign(embed_0=0.0)
    with pytest.raises(UndefinedError, match="expected samples at different distances, got all at one"):
        semantic_slope(matrix_of(np.ones((4, 4)), alike), **PRIMARY)
    unknown = embedded(images([0] * 4))
    unknown.loc[2, "embed_1"] = np.nan
    with pytest.raises(UndefinedError, match=r"expected finite numbers in embed_0, embed_1, .*, got another in '2'"):
        semantic_slope(matrix_of(np.ones((4, 4)), unknown), **PRIMARY)
    two = embedded(images([0, 0, 1, 1]))
    with pytest.raises(UndefinedError, match="expected distances that rows, columns and controls do not explain"):
        semantic_slope(matrix_of(np.ones((4, 4)), two), **PRIMARY)
