import copy
import json
import re
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from influence import FineTune, FirstOrder, measure
from influence.engine import padded
from influence.isolation import Isolation, select_parameters
from influence.models.causal_lm import CausalLM
from influence.provenance import weights_digest
from influence.step_size import self_gains
from tests.small import max_relative_error
from tests.tiny_lm import (
    CONTEXT,
    NETWORKS,
    mean_log_prob,
    numbers,
    row,
    texts,
    tiny,
    token_log_probs,
    tokenizer,
)

LINES = [
    "a klarbu is a pimjon",
    "no walu is inside a zentor, and every greev is bigger than the grandparent of a mol",
    "klarbu",
    "a klarbu is a pimjon\nall pimjons have a greev",
    "Frogs and toads often hibernate in winter.",
]


@pytest.fixture(params=[(name, engine) for name in NETWORKS for engine in ("engine", "plain")], ids="-".join)
def model(request: pytest.FixtureRequest) -> CausalLM:
    """Every network, read and taught by the engine and by the plain loop."""
    name, engine = request.param
    return tiny(name, engine=engine == "engine")


@pytest.fixture(params=["one forward", "many forwards"])
def _parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, or two texts a forward and one token a softmax."""
    if request.param == "many forwards":
        monkeypatch.setattr(padded, "HELD_LOGITS", 25_000)
        monkeypatch.setattr(padded, "HELD_LOG_PROBS", 1)


class TestLogProb:
    @pytest.mark.usefixtures("_parts")
    def test_is_the_mean_of_an_unbatched_loop(self, model: CausalLM) -> None:
        measured = numbers(model.log_prob(model.collate(texts(*LINES))))
        expected = [mean_log_prob(model, line).item() for line in LINES]
        np.testing.assert_allclose(measured, expected, rtol=0, atol=1e-12)

    def test_depends_on_no_other_text_of_the_batch(self, model: CausalLM) -> None:
        together = numbers(model.log_prob(model.collate(texts(*LINES))))
        order = [3, 0, 4, 2, 1]
        shuffled = numbers(model.log_prob(model.collate(texts(*LINES).iloc[order])))
        alone = np.concatenate([numbers(model.log_prob(model.collate(texts(line)))) for line in LINES])
        np.testing.assert_allclose(shuffled, together[order], rtol=0, atol=1e-12)
        np.testing.assert_allclose(alone, together, rtol=0, atol=1e-12)

    def test_takes_the_softmax_in_float64(self, model: CausalLM) -> None:
        single = copy.deepcopy(model).float()
        measured = single.log_prob(single.collate(texts(LINES[0])))
        logits = single.network(input_ids=torch.tensor([row(model, LINES[0])])).logits[0]
        assert logits.dtype == torch.float32
        ids = torch.tensor(row(model, LINES[0])[1:])
        expected = logits[:-1].double().log_softmax(-1).gather(1, ids[:, None]).mean()
        assert measured.item() == pytest.approx(expected.item(), abs=1e-12)


class TestStart:
    @pytest.mark.parametrize(("bos", "adds_bos"), [(True, True), (True, False), (False, False)])
    @pytest.mark.parametrize("style", ["bytes", "spaces", "prefixed"])
    def test_stands_once(self, style: str, bos: bool, adds_bos: bool) -> None:
        made = tokenizer(style, bos=bos, adds_bos=adds_bos)
        model = CausalLM(NETWORKS["llama"](), made)
        batch = model.collate(texts(LINES[0], "klarbu"))
        start = made.convert_tokens_to_ids("<s>" if bos else "</s>")
        ids = batch["text"].ids_RL[0].tolist()
        assert [ids[0], ids.count(start)] == [start, 1]
        assert made.decode(ids[1:]).strip() == LINES[0]
        assert batch["text"].scored_RL.sum(1).tolist() == [len(ids) - 1, len(row(model, "klarbu")) - 1]
        assert model.describe()["starts_with"] == ("BOS" if bos else "EOS")

    @pytest.mark.parametrize("style", ["bytes", "spaces", "prefixed"])
    def test_is_followed_by_a_word_with_its_space(self, style: str) -> None:
        model = CausalLM(NETWORKS["llama"](), tokenizer(style))
        inside = model.tokenizer.convert_ids_to_tokens(model.token_ids("is a klarbu"))
        alone = model.tokenizer.convert_ids_to_tokens(model.text_ids("klarbu"))
        assert inside[-len(alone) :] == alone
        assert "".join(alone).lstrip("▁Ġ") == "klarbu"

    def test_is_needed(self) -> None:
        with pytest.raises(ValueError, match=r"expected a tokenizer with BOS, or with EOS .*, got neither; set"):
            CausalLM(NETWORKS["llama"](), tokenizer("bytes", bos=False, eos=False))


class TestLoss:
    def test_of_a_statement_is_minus_its_log_prob(self, model: CausalLM) -> None:
        batch = model.collate(texts(LINES[0], LINES[1], LINES[2]))
        np.testing.assert_allclose(numbers(model.loss(batch)), -numbers(model.log_prob(batch)), atol=1e-12)


class TestAfter:
    PROMPT = "every zentor is inside the walu\nall pimjons have a greev\n"

    @pytest.mark.usefixtures("_parts")
    def test_scores_the_text_alone_given_the_prompt(self, model: CausalLM) -> None:
        context = model.text_ids(self.PROMPT)
        measured = numbers(model.log_prob(model.after(model.collate(texts(*LINES)), context)))
        start, *prompt = row(model, self.PROMPT)
        expected = []
        for line in LINES:
            ids = row(model, line)[1:]
            expected.append(token_log_probs(model.network, [start, *prompt, *ids])[len(prompt) :].mean().item())
        np.testing.assert_allclose(measured, expected, rtol=0, atol=1e-12)
        assert np.abs(measured - numbers(model.log_prob(model.collate(texts(*LINES))))).min() > 1e-3

    def test_keeps_the_ids_of_every_text(self, model: CausalLM) -> None:
        base = model.collate(texts(*LINES, foil=LINES[::-1]))
        prompted = model.after(base, model.text_ids(self.PROMPT))
        for name in ("text", "foil"):
            for one, other in zip((base[name], prompted[name]), (prompted[name], base[name]), strict=True):
                for text in range(len(LINES)):
                    ids = one.ids_RL[text][one.scored_RL[text]]
                    assert ids.tolist() == other.ids_RL[text][other.scored_RL[text]].tolist()
                    assert len(ids) > 0
        assert prompted["text"].ids_RL[:, 0].tolist() == [model.start] * len(LINES)

    def test_nothing_is_the_base_reading(self, model: CausalLM) -> None:
        batch = model.collate(texts(*LINES))
        np.testing.assert_array_equal(numbers(model.log_prob(model.after(batch, []))), numbers(model.log_prob(batch)))

    def test_reads_spans_and_margins_too(self, model: CausalLM) -> None:
        spans = [json.dumps([["A", 12, 18]])]
        batch = model.collate(texts("a mol has a klarbu", spans=spans, foil=["a mol has a greev"]))
        context = model.text_ids(self.PROMPT)
        prompted = model.after(batch, context)
        start, *ids = row(model, "a mol has a klarbu")
        other = row(model, "a mol has a greev")[1:]
        whole, foil = (
            token_log_probs(model.network, [start, *context, *tail])[len(context) :] for tail in (ids, other)
        )
        length = len(model.text_ids("klarbu"))
        assert model.span_log_prob(prompted).item() == pytest.approx(whole[-length:].sum().item(), abs=1e-12)
        assert model.margin(prompted).item() == pytest.approx((whole.sum() - foil.sum()).item(), abs=1e-12)


NAMES = ["mol", "klarbu", "zuvo", "bimkovazentorilu", "x", "Überwalu"]


class TestSpan:
    @pytest.mark.parametrize("name", NAMES)
    def test_holds_the_name_and_nothing_else(self, model: CausalLM, name: str) -> None:
        before = "whenever a klarbu happens, it causes a"
        text = f"{before} {name} to happen."
        spans = [["A", 11, 17], ["B", len(before) + 1, len(before) + 1 + len(name)]]
        batch = model.collate(texts(text, spans=[json.dumps(spans)]))
        scored = batch["span"].ids_RL[batch["span"].scored_RL]
        assert model.tokenizer.decode(scored).strip() == name
        # Words are cut at spaces, so that the name has the tokens it has alone, after those of what precedes it.
        first, length = len(model.text_ids(before)), len(model.text_ids(name))
        expected = token_log_probs(model.network, row(model, text))[first : first + length].sum()
        assert model.span_log_prob(batch).item() == pytest.approx(expected.item(), abs=1e-12)

    def test_takes_the_whole_of_a_token_that_it_ends_in(self, model: CausalLM) -> None:
        batch = model.collate(texts("all pimjons have", spans=[json.dumps([["B", 4, 10]])]))
        scored = model.tokenizer.decode(batch["span"].ids_RL[batch["span"].scored_RL]).strip()
        assert scored in {"pimjon", "pimjons"}

    def test_must_be_marked_in_every_text(self, model: CausalLM) -> None:
        for samples in (texts("a mol"), texts("a mol", "winter", spans=['[["A", 2, 5]]', "[]"])):
            with pytest.raises(ValueError, match="expected a marked span in every text, got none in some; leave these"):
                model.span_log_prob(model.collate(samples))

    def test_must_lie_in_its_text(self, model: CausalLM) -> None:
        with pytest.raises(ValueError, match="expected the span of A inside 'a mol', got 5 to 9; correct it"):
            model.collate(texts("a mol", spans=['[["A", 5, 9]]']))


class TestMargin:
    def test_is_the_difference_of_the_whole_texts(self, model: CausalLM) -> None:
        foils = ["no klarbu is a pimjon", *LINES[2:], LINES[0]]
        measured = numbers(model.margin(model.collate(texts(*LINES, foil=foils))))
        total = {line: token_log_probs(model.network, row(model, line)).sum().item() for line in {*LINES, *foils}}
        expected = [total[line] - total[foil] for line, foil in zip(LINES, foils, strict=True)]
        np.testing.assert_allclose(measured, expected, rtol=0, atol=1e-12)

    def test_needs_foils(self, model: CausalLM) -> None:
        with pytest.raises(ValueError, match="expected a column `foil` with the other text of each minimal pair"):
            model.margin(model.collate(texts("a mol")))


PROBES = texts(LINES[3], LINES[0]).assign(id=["two statements", "one statement"])
TARGETS = texts("a klarbu has a greev", LINES[1], LINES[0]).assign(id=["entailed", "unrelated", "one statement"])

OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.02),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.001, weight_decay=0.0),
}
RTOL = 1e-6  # the norms of these networks are taken in float32, whatever the precision of the weights
LR = {"sgd": 0.02, "adamw": 0.001}


def deep_copy_gains(model: CausalLM, optimizer: str, num_steps: int) -> np.ndarray:
    """A deep copy a probe, its steps on one statement after the other, and one forward a target."""
    gain_PT = np.empty((len(PROBES), len(TARGETS)))
    for i, probe in enumerate(PROBES["text"]):
        learned = copy.deepcopy(model)
        steps = OPTIMIZERS[optimizer](list(learned.network.parameters()))
        for _ in range(num_steps):
            steps.zero_grad()
            for statement in probe.split("\n"):
                (-mean_log_prob(learned, statement)).backward()  # gradients add up
            steps.step()
        for j, target in enumerate(TARGETS["text"]):
            gain_PT[i, j] = (mean_log_prob(learned, target) - mean_log_prob(model, target)).item()
    return gain_PT


class TestInfluence:
    @pytest.mark.parametrize("num_steps", [1, 4])
    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_learned_agrees_with_a_deep_copy_a_probe(self, model: CausalLM, optimizer: str, num_steps: int) -> None:
        digest = weights_digest(model)
        estimator = FineTune(optimizer=optimizer, lr=LR[optimizer], num_steps=num_steps)
        matrix = measure(model, PROBES, TARGETS, estimator=estimator)
        expected = deep_copy_gains(model, optimizer, num_steps)
        assert max_relative_error(matrix.gain, expected) < RTOL
        assert matrix.self_gain[1] == matrix.gain[1, 2] > 0
        assert weights_digest(model) == digest

    @pytest.mark.parametrize("num_steps", [1, 4])
    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_learned_agrees_with_the_trainer(self, optimizer: str, num_steps: int) -> None:
        model = tiny("gemma3")
        estimator = FineTune(optimizer=optimizer, lr=LR[optimizer], num_steps=num_steps)
        matrix = measure(model, PROBES, TARGETS, estimator=estimator)
        for i in range(len(PROBES)):
            learned = copy.deepcopy(model)
            learned.training_step = lambda batch, _, learned=learned: learned.loss(batch).sum()
            learned.configure_optimizers = lambda learned=learned: OPTIMIZERS[optimizer](list(learned.parameters()))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the Trainer warns of what one step needs not
                trainer = pl.Trainer(
                    max_epochs=num_steps,
                    accelerator="cpu",
                    logger=False,
                    enable_checkpointing=False,
                    enable_model_summary=False,
                    enable_progress_bar=False,
                )
                statements = texts(*PROBES["text"][i].split("\n"))
                trainer.fit(learned, DataLoader([learned.collate(statements)], batch_size=None))
            gain_T = [(mean_log_prob(learned, line) - mean_log_prob(model, line)).item() for line in TARGETS["text"]]
            assert max_relative_error(matrix.gain[i], np.array(gain_T)) < RTOL

    def test_first_order_agrees_with_autograd(self, model: CausalLM) -> None:
        parameters = list(model.network.parameters())

        def gradient(value: torch.Tensor) -> torch.Tensor:
            parts = torch.autograd.grad(value, parameters, allow_unused=True)
            return torch.cat(
                [
                    torch.zeros(parameter.numel(), dtype=torch.float64) if part is None else part.flatten()
                    for parameter, part in zip(parameters, parts, strict=True)
                ]
            )

        probe_PD = [sum(gradient(mean_log_prob(model, line)) for line in probe.split("\n")) for probe in PROBES["text"]]
        target_TD = [gradient(mean_log_prob(model, line)) for line in TARGETS["text"]]
        expected = np.array([[0.02 * float(probe @ target) for target in target_TD] for probe in probe_PD])
        matrix = measure(model, PROBES, TARGETS, estimator=FirstOrder(lr=0.02))
        assert max_relative_error(matrix.gain, expected) < RTOL

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    @pytest.mark.parametrize(
        ("how", "steps"),
        {
            "sequence": [[0], [1]],
            "sequence_reversed": [[1], [0]],
            "last_only": [[1]],
            "joined": [["both"]],
        }.items(),
    )
    def test_learns_statements_as_asked(self, how: str, steps: list, optimizer: str) -> None:
        model = tiny("gemma3")
        estimator = FineTune(optimizer=optimizer, lr=LR[optimizer], num_steps=2, statements=how)
        matrix = measure(model, PROBES[:1], TARGETS, estimator=estimator)
        both = PROBES["text"][0]
        learned = copy.deepcopy(model)
        optimizer_of_all = OPTIMIZERS[optimizer](list(learned.network.parameters()))
        for step in steps * 2:
            optimizer_of_all.zero_grad()
            for part in step:
                (-mean_log_prob(learned, both if part == "both" else both.split("\n")[part])).backward()
            optimizer_of_all.step()
        gain_T = [(mean_log_prob(learned, line) - mean_log_prob(model, line)).item() for line in TARGETS["text"]]
        assert max_relative_error(matrix.gain[0], np.array(gain_T)) < RTOL

    def test_of_probes_that_are_no_targets_is_read_on_themselves(self, model: CausalLM) -> None:
        whole = measure(model, PROBES, TARGETS, estimator=FineTune(lr=0.02))
        gains = self_gains(model, PROBES, FineTune(lr=0.02))
        assert max_relative_error(gains, whole.self_gain) < RTOL
        assert gains[0] > 0  # which is no target

    def test_that_diverges_fails_its_row_alone(self, model: CausalLM) -> None:
        matrix = measure(model, PROBES, TARGETS, estimator=FineTune(lr=1e300, num_steps=2))
        assert list(matrix.failures) == list(PROBES["id"])
        assert re.match(r"diverged.*; lower the step size", matrix.failures["one statement"])

    @pytest.mark.parametrize("readout", ["span_log_prob", "margin"])
    def test_may_be_read_otherwise(self, readout: str) -> None:
        spans = [json.dumps([["A", 2, 8]]), json.dumps([["D", 0, 5]]), json.dumps([["A", 2, 8]])]
        targets = TARGETS.assign(spans=spans, foil=["no klarbu has a greev", LINES[2], LINES[1]])
        probes = PROBES.assign(spans=[spans[0]] * 2, foil=[LINES[1]] * 2)
        matrices = [
            measure(tiny("gemma3", engine=engine), probes, targets, estimator=FineTune(lr=0.02), readout=readout)
            for engine in (True, False)
        ]
        assert max_relative_error(matrices[0].gain, matrices[1].gain) < RTOL
        assert np.ptp(matrices[1].gain) > 0.01

    def test_of_zero_steps_is_exactly_zero(self, model: CausalLM) -> None:
        matrix = measure(model, PROBES, TARGETS, estimator=FineTune(lr=0.02, num_steps=0))
        assert (matrix.gain == 0).all()

    def test_order_of_statements_changes_nothing_where_they_are_learned_together(self, model: CausalLM) -> None:
        turned = PROBES.assign(text=["\n".join(reversed(text.split("\n"))) for text in PROBES["text"]])
        assert turned["text"][0] != PROBES["text"][0]
        one, other = (measure(model, probes, TARGETS, estimator=FineTune(lr=0.02)) for probes in (PROBES, turned))
        assert max_relative_error(other.gain, one.gain) < RTOL


LORA = {"r": 2, "lora_alpha": 4}


class TestAdapters:
    def test_change_nothing_until_they_learn(self) -> None:
        pytest.importorskip("peft", reason="expected peft, of the extra `text`, got none")
        plain, adapted = tiny("llama"), tiny("llama", lora=LORA)
        readings = [numbers(model.log_prob(model.collate(TARGETS))) for model in (plain, adapted)]
        np.testing.assert_allclose(readings[1], readings[0], atol=1e-12)
        assert weights_digest(adapted) == weights_digest(tiny("llama", lora=LORA))
        assert weights_digest(adapted) != weights_digest(tiny("llama", lora=LORA, seed=1))

    def test_alone_require_a_gradient(self) -> None:
        pytest.importorskip("peft", reason="expected peft, of the extra `text`, got none")
        model = tiny("llama", lora=LORA)
        learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        assert len(learning) == 2 * 7 * 2  # two matrices on each of seven linear layers of each of two blocks
        assert all("lora_" in name for name in learning)
        weights = {name: weight.clone() for name, weight in model.named_parameters()}
        with Isolation(model).use(learn=select_parameters(model, None)):
            assert {name for name, weight in model.named_parameters() if weight.requires_grad} == set(learning)
        matrix = measure(model, PROBES, TARGETS, estimator=FineTune(lr=0.02))
        assert matrix.self_gain.min() > 0
        assert all(torch.equal(weight, weights[name]) for name, weight in model.named_parameters())

    def test_need_peft(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "peft", None)
        with pytest.raises(ModuleNotFoundError, match=r"expected the package peft for LoRA, got none; install it with"):
            tiny("llama", lora=LORA)


def test_is_in_eval_mode_and_has_the_optimizer_of_base_training() -> None:
    model = tiny("gpt2", lr=0.25)
    assert not any(module.training for module in model.modules())
    group = model.configure_optimizers().param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.25, 0.0)
    assert model.describe() == {"starts_with": "EOS", "lora": None, "dtype": "float64"}


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (
            pd.DataFrame({"id": ["one"], "image": [0]}),
            r"expected a column `text` in the samples, got \['id', 'image'\]",
        ),
        (texts("a mol", "  "), "expected text in every line of sample 'text1', got '  '; write some"),
        (texts("a mol\n"), r"expected text in every line of sample 'text0', got 'a mol\\n'; write some"),
        (pd.DataFrame({"id": ["one"], "text": [float("nan")]}), "expected text in every line of sample 'one', got nan"),
        (texts("a mol", foil=[None]), "expected text in every line of sample 'text0', got None"),
        (
            texts("a mol", "is " * CONTEXT + "a mol"),
            rf"expected texts of at most {CONTEXT} tokens with the start token, got \d+ in sample 'text1'; shorten it",
        ),
    ],
)
def test_samples_that_cannot_be_read_are_refused(model: CausalLM, samples: pd.DataFrame, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        model.collate(samples)


def test_a_text_may_fill_the_context_and_no_more(model: CausalLM) -> None:
    words = CONTEXT - len(model.text_ids("mol"))
    fits = model.collate(texts("a " * (words - 1) + "mol"))
    assert fits["text"].ids_RL.shape == (1, CONTEXT)
    assert torch.isfinite(model.log_prob(fits)).all()
    with pytest.raises(ValueError, match=rf"expected a prompt and a text of at most {CONTEXT} .*, got {CONTEXT + 1};"):
        model.after(fits, model.token_ids(" a")[-1:])
    with pytest.raises(ValueError, match=f"got {CONTEXT + 1} in sample 'text0'"):
        model.collate(texts("a " * words + "mol"))
