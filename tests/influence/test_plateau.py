import numpy as np
import pandas as pd
import pytest

from influence.blocks import Block
from influence.matrix import InfluenceMatrix
from influence.plateau import longest_run, plateau

NAN = float("nan")

RISING = np.array([[9.0, 1.0, 2.0, 3.0], [4.0, 9.0, 5.0, 6.0], [7.0, 8.0, 9.0, 10.0]])
"""Three probes that are targets 0, 1, 2 too; off the diagonal 1 to 10 without 9."""

FALLING = -RISING


def at(lr: float, gain, *, self_gain=(1.0, 2.0, 3.0), noise_floor: float = 0.01) -> InfluenceMatrix:
    """A matrix at a learning rate; a probe without self-gain has failed."""
    self_gain_P = np.array(self_gain, dtype=float)
    block = Block(
        id="000000",
        first_probe=0,
        first_target=0,
        gain_PT=np.where(np.isnan(self_gain_P)[:, None], NAN, np.array(gain, dtype=float)),
        self_gain_P=self_gain_P,
        before_T=np.zeros(4),
        failure_P=np.where(np.isnan(self_gain_P), "diverged", ""),
    )
    ids = ["a", "b", "c", "d"]
    return InfluenceMatrix(
        blocks=[block],
        probes=pd.DataFrame({"id": ids[:3]}),
        targets=pd.DataFrame({"id": ids}),
        readout={"name": "log_prob", "unit": "nats", "higher_is_better": True},
        estimator={"lr": lr},
        provenance={"noise_floor": noise_floor},
    )


def test_by_hand():
    """Shapes alike at .01, .1 and 1; turned over at 10."""
    table = plateau([at(1.0, RISING**3), at(0.01, RISING), at(10.0, FALLING), at(0.1, np.exp(RISING))])
    assert table["lr"].tolist() == [0.01, 0.1, 1.0, 10.0]
    np.testing.assert_allclose(table["correlation_with_next"], [1, 1, -1, NAN])
    assert table["on_plateau"].tolist() == [True, True, False, False]
    assert table["chosen"].tolist() == [True, False, False, False]  # the lower of two middles
    assert table["median_self_gain"].tolist() == [2.0] * 4
    assert table["low"].tolist() == [1.0] * 4
    assert table["high"].tolist() == [2.0] * 4


def test_the_middle_of_the_longest_run_is_chosen():
    shapes = [RISING, RISING, FALLING, RISING, RISING, RISING, RISING, RISING]
    table = plateau([at(10.0**power, shape) for power, shape in enumerate(shapes)])
    assert table["on_plateau"].tolist() == [True, False, False, False, True, True, True, True]
    assert table.loc[table["chosen"], "lr"].tolist() == [1e5]


def test_the_diagonal_does_not_count():
    """Self-gains that rise with the learning rate do not make two matrices alike or unlike."""
    other = RISING.copy()
    other[[0, 1, 2], [0, 1, 2]] = [-500.0, 500.0, 0.0]
    assert plateau([at(0.1, RISING), at(1.0, other)])["correlation_with_next"][0] == pytest.approx(1)


def test_a_spearman_correlation_by_hand():
    """Ranks 1 to 9 with the first two exchanged: 1 - 6 (1 + 1) / (9 (81 - 1)) = 1 - 12 / 720."""
    other = RISING.copy()
    other[0, 1:3] = [2.0, 1.0]
    table = plateau([at(0.1, RISING), at(1.0, other)])
    assert table["correlation_with_next"][0] == pytest.approx(1 - 12 / 720)
    assert table["on_plateau"].all()


@pytest.mark.parametrize(("floor", "on"), [(0.19, True), (0.2, False)])
def test_the_signal_must_exceed_ten_times_the_noise(floor, on):
    table = plateau([at(0.1, RISING, noise_floor=floor), at(1.0, RISING, noise_floor=0.01)])
    assert table["on_plateau"].tolist() == [on, True]
    assert table["noise_floor"].tolist() == [floor, 0.01]


def test_failed_probes_count_as_the_lowest():
    table = plateau(
        [
            at(0.1, RISING, self_gain=(1.0, 2.0, NAN)),
            at(1.0, RISING, self_gain=(NAN, 2.0, NAN)),
            at(10.0, RISING, self_gain=(NAN, NAN, NAN)),
        ]
    )
    assert table["failed"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(table["median_self_gain"], [1, NAN, NAN])
    np.testing.assert_allclose(table["correlation_with_next"], [1, NAN, NAN])
    assert table["on_plateau"].tolist() == [True, False, False]


def test_none_found_is_a_result():
    table = plateau([at(0.1, RISING), at(1.0, FALLING)])
    assert not table["on_plateau"].any()
    assert not table["chosen"].any()


def test_a_constant_matrix_has_no_correlation():
    assert np.isnan(plateau([at(0.1, RISING), at(1.0, np.ones((3, 4)))])["correlation_with_next"][0])


@pytest.mark.parametrize("rates", [[0.1], [0.1, 0.1], [0.1, 1.0, 0.1]])
def test_too_few_rates_are_refused(rates):
    with pytest.raises(
        ValueError, match=r"expected matrices at two or more different learning rates, got \[0.1.*widen"
    ):
        plateau([at(lr, RISING) for lr in rates])


@pytest.mark.parametrize(
    ("on", "run"),
    [("1", (0, 1)), ("0110", (1, 3)), ("1011", (2, 4)), ("110110", (0, 2)), ("1111", (0, 4)), ("00100", (2, 3))],
)
def test_the_first_longest_run(on, run):
    assert longest_run(np.array([digit == "1" for digit in on])) == run
