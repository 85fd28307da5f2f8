"""A score at a condition, evaluated over its units: sources of one matrix, or worlds or seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from influence.arrays import Array
from influence.desiderata.cells import clean_part, source
from influence.desiderata.registry import SCORES
from influence.desiderata.spec import Condition, Criterion, NotApplicableError, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix
from influence.seeds import generator
from influence.stats.bootstrap import bootstrap_ratio_interval
from influence.stats.equivalence import equivalence_p
from influence.stats.interval import UNDEFINED, Interval
from influence.stats.jackknife import jackknife_ratio_interval
from influence.stats.sign_flip import sign_flip_p
from influence.stats.student import mean_interval, ratio_interval

MOST_PARTS = 200
"""Most parts of a jackknife, each of which is scored anew: of more sources, groups are left out."""

MANY_CELLS = 2**22
"""Cells from which on a jackknife has fewer parts, and no test permutes: either would take hours."""

FEW_PARTS = 50
"""Parts of the jackknife of such a matrix; Student's t has then 49 degrees of freedom."""

ZERO_DENOMINATOR = "the 95 % interval of the denominator touches 0"


@dataclass(frozen=True)
class Question:
    """A score at a condition."""

    score: Score
    condition: Condition
    seed: int

    @property
    def at(self) -> str:
        """The condition as tables name it: "sigma=0.5", or ""."""
        return ", ".join(
            f"{name}={value if isinstance(value, str) else format(value, 'g')}"
            for name, value in self.condition.items()
        )

    @property
    def criterion(self) -> Criterion | None:
        """What the score is judged by at this condition."""
        criterion = self.score.criterion
        return criterion if criterion and criterion.condition.items() <= self.condition.items() else None

    def ratio(self, *worlds: InfluenceMatrix) -> Ratio:
        """The score; a plain number is itself over 1.

        Raises:
            UndefinedError: there is none.
        """
        value = self.score.measure(*worlds, **self.condition)
        if isinstance(value, Ratio):
            return value
        if not math.isfinite(value):
            raise UndefinedError(f"expected a number from {self.score.name}, got {value}")
        return Ratio(float(value))

    def measure(self, *worlds: InfluenceMatrix) -> Ratio | UndefinedError:
        """The score, or why there is none."""
        try:
            return self.ratio(*worlds)
        except UndefinedError as reason:
            return reason

    def generator(self, what: str = "") -> np.random.Generator:
        """Of the random signs, permutations and draws."""
        return generator(self.seed, self.score.name, self.at, *([what] if what else []))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a question came to.

    Attributes:
        interval: value and 95 % interval.
        bootstrap: BCa interval beside it, where there are units enough.
        p: two-sided, of the score's null.
        p_good, p_bad: one-sided, of the good and bad side of the threshold.
        p_no_effect: of "the effect is larger than the margin".
        notes: why something is missing.
        applies: whether the score is about such samples.
    """

    interval: Interval
    bootstrap: Interval = UNDEFINED
    p: float = math.nan
    p_good: float = math.nan
    p_bad: float = math.nan
    p_no_effect: float = math.nan
    notes: tuple[str, ...] = ()
    applies: bool = True


def questions(names: Sequence[str | Score] | None, units: Sequence[InfluenceMatrix], seed: int) -> list[Question]:
    """The scores of those names, of all desiderata where None, each at every condition that the units have.

    Raises:
        ValueError: there is no such score.
    """
    return [Question(chosen, condition, seed) for chosen in _chosen(names) for condition in chosen.conditions(units)]


def within(matrix: InfluenceMatrix, questions: Sequence[Question]) -> list[Answer]:
    """Answers from one matrix, whose sources are the units: a delete-one-source jackknife and the score's own test.

    Where there are more than `MOST_PARTS` sources, it leaves out groups of them (Kott 2001), `FEW_PARTS` groups of a
    matrix of more than `MANY_CELLS` cells, which has no p either.
    """
    is_large = len(matrix.probes) * len(matrix.targets) > MANY_CELLS
    matrix = matrix.joined()
    whole = [question.measure(matrix) for question in questions]
    parts: list[list[Ratio | UndefinedError]] = [[] for _ in questions]
    every = np.array(sources(matrix), dtype=object)
    count = min(len(every), FEW_PARTS if is_large else MOST_PARTS)
    for first in range(count):
        clean_part.cache_clear()  # which holds the part before: a large one takes the memory of another
        left_out = every[first::count]  # from all over the table: each group is a sample of the sources
        rest = matrix.select(
            probes=~np.isin(source(matrix.probes), left_out), targets=~np.isin(source(matrix.targets), left_out)
        )
        for question, outcome, of_rest in zip(questions, whole, parts, strict=True):
            if question.score.smooth and isinstance(outcome, Ratio):
                of_rest.append(question.measure(rest))
    answers = []
    for question, outcome, of_rest in zip(questions, whole, parts, strict=True):
        answer = _jackknife(outcome, of_rest, "source")
        if question.score.test is not None and not math.isnan(answer.interval.value):
            if is_large:
                answer = replace(answer, notes=(*answer.notes, f"no p: more than {MANY_CELLS:,} cells to permute"))
            else:
                answer = replace(answer, p=question.score.test(matrix, question.generator(), **question.condition))
        answers.append(answer)
    return answers


def between(units: Sequence[InfluenceMatrix], question: Question, unit_of_n: str) -> Answer:
    """The answer from several worlds or seeds, which are the units: Student's interval and sign flips."""
    if question.score.of_all_worlds and unit_of_n == "worlds":
        parts = [question.measure(*rest) for rest in _without_one(units)]
        return _jackknife(question.measure(*units), parts, "world")
    try:
        numerator_W, denominator_W = _by_unit(units, question, unit_of_n)
    except UndefinedError as reason:
        return undefined(reason)
    interval = ratio_interval(numerator_W, denominator_W)
    if math.isnan(interval.value):
        return undefined(UndefinedError(ZERO_DENOMINATOR))
    answer = Answer(
        interval=interval,
        bootstrap=bootstrap_ratio_interval(numerator_W, denominator_W, question.generator("bootstrap")),
    )
    score, criterion = question.score, question.criterion
    if score.null is not None:
        answer = replace(answer, p=sign_flip_p(numerator_W - score.null * denominator_W, question.generator()))
        if score.margin is not None:
            effect_W = (numerator_W - interval.value * denominator_W) / denominator_W.mean()
            p = equivalence_p(interval.value + effect_W, center=score.null, margin=score.margin)
            answer = replace(answer, p_no_effect=p)
    if criterion is not None:
        sign = np.sign(denominator_W.mean()) * (1 if score.better == "higher" else -1)
        good_W = sign * (numerator_W - criterion.threshold * denominator_W)
        answer = replace(
            answer,
            p_good=sign_flip_p(good_W, question.generator("good"), alternative="greater"),
            p_bad=sign_flip_p(good_W, question.generator("bad"), alternative="less"),
        )
    return answer


def difference(
    left: Sequence[InfluenceMatrix], right: Sequence[InfluenceMatrix], question: Question, unit_of_n: str
) -> Answer:
    """How much higher the score is on the left, from units of which each is on both sides."""
    value, effect_W = 0.0, np.zeros(len(left))
    for side, units, sign in (("left", left, 1), ("right", right, -1)):
        try:
            side_value, side_effect_W = _linearised(units, question, unit_of_n)
        except UndefinedError as reason:
            return undefined(reason, f"{side}: ")
        value, effect_W = value + sign * side_value, effect_W + sign * side_effect_W
    contrast_W = value + effect_W
    return Answer(interval=mean_interval(contrast_W), p=sign_flip_p(contrast_W, question.generator()))


def undefined(reason: UndefinedError, where: str = "") -> Answer:
    """No number, and why."""
    applies = not isinstance(reason, NotApplicableError)
    return Answer(interval=UNDEFINED, notes=(f"undefined: {where}{reason}",), applies=applies)


def sources(matrix: InfluenceMatrix) -> list[object]:
    """The sources of a matrix, each once."""
    return list(dict.fromkeys([*source(matrix.probes), *source(matrix.targets)]))


def _chosen(names: Sequence[str | Score] | None) -> list[Score]:
    if names is None:
        return list(SCORES.values())
    chosen: list[Score] = []
    for name in names:
        known = [score for score in SCORES.values() if name in (score.name, score.desideratum)]
        if isinstance(name, str) and not known:
            desiderata = dict.fromkeys(score.desideratum for score in SCORES.values())
            raise ValueError(
                f"expected scores among {', '.join(SCORES)}, or all those of {', '.join(desiderata)}, got {name!r}"
            )
        chosen += [name] if isinstance(name, Score) else known
    return list({score.name: score for score in chosen}.values())


def _jackknife(whole: Ratio | UndefinedError, without_one: Sequence[Ratio | UndefinedError], left_out: str) -> Answer:
    """The score of the whole, with its interval from what it is without each source, or world."""
    if isinstance(whole, UndefinedError):
        return undefined(whole)
    notes = []
    interval = Interval(whole.value, math.nan, math.nan)
    parts = [part for part in without_one if isinstance(part, Ratio)]
    if len(parts) < len(without_one):
        reason = next(part for part in without_one if isinstance(part, UndefinedError))
        notes.append(f"no interval: without one {left_out}, {reason}")
    elif len(parts) > 1:
        interval = jackknife_ratio_interval(
            whole.numerator,
            whole.denominator,
            np.array([part.numerator for part in parts]),
            np.array([part.denominator for part in parts]),
        )
    if math.isnan(interval.value):
        return undefined(UndefinedError(ZERO_DENOMINATOR))
    return Answer(interval=interval, notes=tuple(notes))


def _linearised(
    units: Sequence[InfluenceMatrix], question: Question, unit_of_n: str
) -> tuple[float, Float64[Array, " W"]]:
    """A score over its units, and the first-order effect of each unit on it; these sum to 0.

    Raises:
        UndefinedError: the score is undefined in a unit, or over them.
    """
    if question.score.of_all_worlds and unit_of_n == "worlds":
        whole, *parts = (question.ratio(*some) for some in (units, *_without_one(units)))
        value_W = np.array([part.value for part in parts])
        return whole.value, (len(units) - 1) * (value_W.mean() - value_W)
    numerator_W, denominator_W = _by_unit(units, question, unit_of_n)
    ratio = ratio_interval(numerator_W, denominator_W).value
    if math.isnan(ratio):
        raise UndefinedError(ZERO_DENOMINATOR)
    return ratio, (numerator_W - ratio * denominator_W) / denominator_W.mean()


def _without_one(units: Sequence[InfluenceMatrix]) -> list[list[InfluenceMatrix]]:
    """The units but for one, each left out in turn."""
    return [[*units[:number], *units[number + 1 :]] for number in range(len(units))]


def _by_unit(
    units: Sequence[InfluenceMatrix], question: Question, unit_of_n: str
) -> tuple[Float64[Array, " W"], Float64[Array, " W"]]:
    """Numerator and denominator of a score in every unit.

    Raises:
        UndefinedError: it is undefined in one; to go on with the others would select them by what is measured.
    """
    outcomes = [question.measure(unit) for unit in units]
    reasons = [outcome for outcome in outcomes if isinstance(outcome, UndefinedError)]
    if reasons:
        kind = NotApplicableError if isinstance(reasons[0], NotApplicableError) else UndefinedError
        raise kind(f"{reasons[0]} (in {len(reasons)} of {len(units)} {unit_of_n})")
    ratios = [outcome for outcome in outcomes if isinstance(outcome, Ratio)]
    return np.array([ratio.numerator for ratio in ratios]), np.array([ratio.denominator for ratio in ratios])
