"""Oracle: one forward a cell, of start token, context and target, without batch or padding."""

import copy
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

from influence import measure
from influence.engine.texts import Texts
from influence.estimators import prompt
from influence.estimators.prompt import Prompt, shuffled
from influence.estimators.protocol import Estimator
from influence.models.causal_lm import CausalLM
from influence.provenance import weights_digest
from influence.readout import Reader, find
from tests.small import random_samples, ready, relu_cnn
from tests.tiny_lm import CONTEXT, NETWORKS, row, texts, tiny, token_log_probs

PROBES = texts(
    "a klarbu is a pimjon\nall pimjons have a greev",
    "the grandparent of a mol is bigger than the mol",
    "greev",
).assign(id=["two statements", "one statement", "name"])
TARGETS = texts(
    "a klarbu has a greev",
    "a klarbu is a pimjon\nall pimjons have a greev",
    "klarbu",
    "the grandparent of a mol is bigger than the mol",
    "no walu is inside a zentor",
).assign(id=["entailed", "same text", "other name", "one statement", "unrelated"])


@pytest.fixture(params=[(name, engine) for name in NETWORKS for engine in ("engine", "plain")], ids="-".join)
def model(request: pytest.FixtureRequest) -> CausalLM:
    """Every network, read by the engine and in padded batches."""
    name, engine = request.param
    return tiny(name, engine=engine == "engine")


def ids(model: CausalLM, text: str) -> list[int]:
    """What the bare tokenizer makes of a text, with a space before its first word."""
    return row(model, text)[1:]


def log_prob(model: CausalLM, context: list[int], target: str) -> float:
    """Nats per token of a target after a context."""
    return token_log_probs(model.network, [model.start, *context, *ids(model, target)])[len(context) :].mean().item()


def expected_gains(model: CausalLM, prompts: list[str]) -> np.ndarray:
    return np.array(
        [
            [log_prob(model, ids(model, prompt), target) - log_prob(model, [], target) for target in TARGETS["text"]]
            for prompt in prompts
        ]
    )


@contextmanager
def read_ids(model: CausalLM) -> Iterator[list[list[int]]]:
    """Ids of every text that the model reads inside."""
    seen: list[list[int]] = []
    read = model.totals

    def spy(one: Texts) -> torch.Tensor:
        seen.extend(one.ids_RL.tolist())
        return read(one)

    with model.totals_by(spy):
        yield seen


def contexts(
    model: CausalLM, estimator: Prompt, probes: pd.DataFrame, target: str = "no walu is inside a zentor"
) -> list[list[int]]:
    """Ids between the start token and a target, in the order in which they are read: prompt, baseline, prompt, ..."""
    reader = Reader(model, texts(target), find("log_prob", model), batch_size=1)
    with read_ids(model) as seen:
        list(estimator.rows(model, probes.assign(id="text0"), reader))  # with the target's id none is read on itself
    tail = ids(model, target)
    assert all(each[0] == model.start and each[-len(tail) :] == tail for each in seen)
    return [each[1 : -len(tail)] for each in seen]


class TestGain:
    @pytest.mark.parametrize(("separator", "between", "after"), [("\n", "\n", "\n"), (" ", " ", ""), (". ", ". ", ".")])
    def test_agrees_with_an_unbatched_loop(self, model: CausalLM, separator: str, between: str, after: str) -> None:
        prompts = [text.replace("\n", between) + after for text in PROBES["text"]]
        matrix = measure(model, PROBES, TARGETS, estimator=Prompt(separator=separator))
        expected = expected_gains(model, prompts)
        np.testing.assert_allclose(matrix.gain, expected, rtol=0, atol=1e-12)
        assert np.median(np.abs(expected)) > 0.05
        assert matrix.self_gain[1] == matrix.gain[1, 3]
        # The first has the text of a target but another id, the last the text of none: both are read by themselves.
        assert matrix.self_gain[0] == pytest.approx(expected[0, 1], abs=1e-12)
        name = log_prob(model, ids(model, prompts[2]), "greev") - log_prob(model, [], "greev")
        assert matrix.self_gain[2] == pytest.approx(name, abs=1e-12)

    def test_is_of_spans_and_margins_too(self, model: CausalLM) -> None:
        foils = ["a klarbu has a mol", *TARGETS["text"][2:], "greev"]
        spans = [json.dumps([["A", 0, len(text)]]) for text in TARGETS["text"]]
        spans[0] = json.dumps([["A", 2, 8], ["C", 15, 20]])
        targets = TARGETS.assign(foil=foils, spans=spans)
        probe = targets.iloc[[1]]
        margin, span = (
            measure(model, probe, targets, estimator=Prompt(), readout=readout).gain[0]
            for readout in ("margin", "span_log_prob")
        )

        def total(context: list[int], text: str, last: int) -> float:
            read = [model.start, *context, *ids(model, text)]
            return token_log_probs(model.network, read)[-last:].sum().item()

        def gain(text: str, last: int | None = None) -> float:
            last = len(ids(model, text)) if last is None else last
            return total(ids(model, probe["text"].iloc[0] + "\n"), text, last) - total([], text, last)

        expected = [gain(text) - gain(foil) for text, foil in zip(targets["text"], foils, strict=True)]
        np.testing.assert_allclose(margin, expected, rtol=0, atol=1e-11)
        expected = [gain(text) for text in targets["text"]]
        expected[0] = gain(targets["text"][0], last=len(ids(model, "greev")))
        np.testing.assert_allclose(span, expected, rtol=0, atol=1e-11)

    @pytest.mark.parametrize("baseline", ["nonce", "shuffled"])
    def test_may_be_against_another_prompt(self, model: CausalLM, baseline: str) -> None:
        estimator = Prompt(baseline=baseline)
        matrix = measure(model, PROBES.iloc[:2], TARGETS, estimator=estimator, seed=3)
        for i, probe_id in enumerate(PROBES["id"][:2]):
            reader = Reader(model, TARGETS, find("log_prob", model), batch_size=1)
            with read_ids(model) as seen:
                list(estimator.rows(model, PROBES.iloc[[i]], reader, seed=3))
            target = ids(model, TARGETS["text"][0])
            before, after = (seen[place][1 : -len(target)] for place in (len(TARGETS), 0))
            assert after == ids(model, f"{PROBES['text'][i]}\n")
            expected = [log_prob(model, after, text) - log_prob(model, before, text) for text in TARGETS["text"]]
            np.testing.assert_allclose(matrix.gain[i], expected, rtol=0, atol=1e-12, err_msg=probe_id)
            assert np.abs(matrix.gain[i]).min() > 1e-4

    def test_depends_on_no_other_probe_or_target(self) -> None:
        model = tiny("gemma3")
        estimator = Prompt(baseline="nonce")
        whole = measure(model, PROBES, TARGETS, estimator=estimator, seed=1)
        part = measure(model, PROBES.iloc[::-1], TARGETS.iloc[[3, 0]], estimator=estimator, seed=1, batch_size=1)
        np.testing.assert_allclose(part.gain, whole.gain[::-1][:, [3, 0]], rtol=0, atol=1e-12)


class TestIds:
    def test_of_a_target_are_those_it_has_alone(self, model: CausalLM) -> None:
        with read_ids(model) as seen:
            reader = Reader(model, TARGETS, find("log_prob", model), batch_size=1)
            list(Prompt().rows(model, PROBES.iloc[[1]], reader))
        base, prompted = seen[: len(TARGETS)], seen[len(TARGETS) :]
        context = ids(model, f"{PROBES['text'][1]}\n")
        assert base == [row(model, text) for text in TARGETS["text"]]
        assert prompted == [[model.start, *context, *alone[1:]] for alone in base]
        assert [each.count(model.start) for each in base + prompted] == [1] * 2 * len(TARGETS)

    def test_at_a_space_are_those_of_one_text(self, model: CausalLM) -> None:
        """The tokenizers cut words at spaces, so that the joined ids must be those of the joined text."""
        for template in ("{probe}", "It is known that {probe},"):
            with read_ids(model) as seen:
                reader = Reader(model, TARGETS, find("log_prob", model), batch_size=1)
                list(Prompt(separator=" ", template=template).rows(model, PROBES.iloc[[1]], reader))
            before = template.replace("{probe}", PROBES["text"][1])
            assert seen[len(TARGETS) :] == [row(model, f"{before} {text}") for text in TARGETS["text"]]

    def test_follow_the_order_of_the_statements(self, model: CausalLM) -> None:
        given, turned = (contexts(model, Prompt(order=order), PROBES.iloc[[0]])[0] for order in ("given", "reversed"))
        assert given == ids(model, "a klarbu is a pimjon\nall pimjons have a greev\n")
        assert turned == ids(model, "all pimjons have a greev\na klarbu is a pimjon\n")

    def test_follow_the_template(self, model: CausalLM) -> None:
        estimator = Prompt(template="{It} is known that {probe}!", separator=" and ")
        (context,) = contexts(model, estimator, PROBES.iloc[[0]])
        assert context == ids(model, "{It} is known that a klarbu is a pimjon and all pimjons have a greev! and")

    def test_follow_the_chat_template_with_one_start_token(self, model: CausalLM) -> None:
        model.tokenizer = copy.deepcopy(model.tokenizer)  # it is shared by the tests
        model.tokenizer.chat_template = (
            "{{ bos_token }}{% for turn in messages %}[{{ turn['role'] }}]{{ turn['content'] }}{% endfor %}"
            "{% if add_generation_prompt %}[model]\n{% endif %}"
        )
        context, baseline = contexts(model, Prompt(template="chat", baseline="nonce"), PROBES.iloc[[0]])
        chat = "[user]a klarbu is a pimjon\nall pimjons have a greev[model]\n"
        assert context == model.tokenizer.backend_tokenizer.encode(chat, add_special_tokens=False).ids
        assert model.start not in context
        assert len(baseline) == len(context)
        assert model.tokenizer.decode(baseline).strip().startswith("[user]")
        assert model.tokenizer.decode(baseline).endswith("[model]\n")


class TestNonce:
    def test_has_as_many_tokens_of_words_that_the_probe_lacks(self, model: CausalLM) -> None:
        read = contexts(model, Prompt(baseline="nonce"), PROBES.iloc[:2])
        for prompt_ids, baseline, text in zip(read[::2], read[1::2], PROBES["text"][:2], strict=True):
            assert prompt_ids == ids(model, f"{text}\n")
            assert len(baseline) == len(prompt_ids)
            words = model.tokenizer.decode(baseline)
            assert words.endswith("\n")
            assert words.split()
            assert not set(words.split()) & set(text.split())

    def test_has_no_word_that_a_target_holds(self) -> None:
        model, probe = (
            tiny("llama"),
            texts("every zentor is inside the walu, and no walu is inside a zentor, and a mol is a mol"),
        )
        _, drawn = contexts(model, Prompt(baseline="nonce"), probe)
        word, *others = model.tokenizer.decode(drawn).split()
        assert others  # so that the first is whole
        _, redrawn = contexts(model, Prompt(baseline="nonce"), probe, target=f"all {word}s")
        assert word not in model.tokenizer.decode(redrawn)
        assert len(redrawn) == len(drawn)

    def test_depends_on_the_seed_and_the_probe(self) -> None:
        model = tiny("llama")
        estimator = Prompt(baseline="nonce")
        reader = Reader(model, TARGETS, find("log_prob", model), batch_size=8)

        def rows(probes: pd.DataFrame, seed: int) -> list[np.ndarray]:
            return [row.gain_T for row in estimator.rows(model, probes, reader, seed=seed)]

        whole = rows(pd.concat([PROBES.iloc[:2], PROBES.iloc[[1]].assign(id="twin")]), 3)
        assert (rows(PROBES.iloc[[1]], 3)[0] == whole[1]).all()
        assert (rows(PROBES.iloc[[1]], 4)[0] != whole[1]).any()
        assert (whole[2] != whole[1]).any()

    def test_is_cut_where_whole_words_do_not_fit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = tiny("llama")
        monkeypatch.setattr(prompt, "draw_names", lambda worlds, size, seed: [["zorzorzor"] * size])
        words = "zorzorzor zorzorzor"
        for num_tokens in (3, 5, 10):  # whole words have 7 and 14
            cut = prompt.nonce(model.text_ids, num_tokens, known="", seed=0)
            assert len(cut) == num_tokens
            assert words.startswith(model.tokenizer.decode(cut).strip())


class TestShuffled:
    def test_has_the_same_words_in_another_order(self, model: CausalLM) -> None:
        read = contexts(model, Prompt(baseline="shuffled"), PROBES.iloc[:2])
        for baseline, text in zip(read[1::2], PROBES["text"][:2], strict=True):
            decoded = model.tokenizer.decode(baseline)
            assert Counter(decoded.split()) == Counter(text.split())
            assert decoded.split() != text.split()
            assert [len(line.split()) for line in decoded.split("\n")] == [
                len(line.split()) for line in f"{text}\n".split("\n")
            ]

    @pytest.mark.parametrize("seed", range(20))
    def test_is_never_the_order_given(self, seed: int) -> None:
        assert shuffled(["klarbu", "pimjon"], seed=seed) == ["pimjon", "klarbu"]
        assert shuffled(["mol mol", "mol"], seed=seed) == ["mol mol", "mol"]

    def test_depends_on_the_seed(self) -> None:
        statements = PROBES["text"][0].split("\n")
        drawn = [tuple(shuffled(statements, seed=seed)) for seed in (0, 0, 1)]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_of_one_word_leaves_no_gain(self) -> None:
        matrix = measure(tiny("llama"), PROBES.iloc[[2]], TARGETS, estimator=Prompt(baseline="shuffled"))
        assert (matrix.gain == 0).all()


def test_leaves_the_model_as_it_was(model: CausalLM) -> None:
    model.network.train()
    digest, random_state = weights_digest(model), torch.get_rng_state()
    matrix = measure(model, PROBES.iloc[:2], TARGETS, estimator=Prompt(baseline="nonce"))
    assert np.isfinite(matrix.gain).all()
    assert weights_digest(model) == digest
    assert (torch.get_rng_state() == random_state).all()
    assert not model.training
    assert all(module.training for module in model.network.modules())


def test_is_an_estimator_without_a_step_size() -> None:
    estimator = Prompt(order="reversed")
    assert isinstance(estimator, Estimator)
    assert (estimator.lr, estimator.self_gain) == (None, None)
    assert estimator.with_lr(0.1) is estimator
    assert estimator.describe() == {
        "name": "prompt",
        "separator": "\n",
        "order": "reversed",
        "template": "{probe}",
        "baseline": "empty",
    }


def test_a_reading_that_is_not_finite_fails_alone() -> None:
    model = tiny("llama")
    (greev,) = model.text_ids("greev")
    with torch.no_grad():
        model.network.model.embed_tokens.weight[greev] = torch.nan
    matrix = measure(model, PROBES, TARGETS.iloc[[2, 3, 4]], estimator=Prompt())
    assert np.isnan(matrix.gain[[0, 2]]).all()
    assert np.isfinite(matrix.gain[1]).all()
    assert matrix.failures == dict.fromkeys(
        ["two statements", "name"], "a readout is not finite; check the weights, or load them in float32"
    )


def test_a_prompt_longer_than_the_context_is_refused_by_name(model: CausalLM) -> None:
    target = TARGETS.iloc[[0]].assign(id="text0")
    length = CONTEXT - len(row(model, TARGETS["text"][0])) - len(ids(model, "a\n")) + 1  # an a is one token
    fits, too_long = (texts(" ".join("a" * count)) for count in (length, length + 1))
    assert np.isfinite(measure(model, fits, target, estimator=Prompt()).gain).all()
    sentence = f"probe 'text0': expected a prompt and a text of at most {CONTEXT} tokens together, got {CONTEXT + 1};"
    with pytest.raises(ValueError, match=sentence):
        measure(model, too_long, target, estimator=Prompt())


def test_nonce_words_that_do_not_fit_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    monkeypatch.setattr(prompt, "draw_names", lambda worlds, size, seed: [["krom"] * size])
    assert [len(model.text_ids(text)) for text in ("is", "k")] == [1, 2]
    sentence = "probe 'text0': expected nonce words in a prompt of 2 tokens, got none; choose another baseline"
    with pytest.raises(ValueError, match=sentence):
        measure(model, texts("is"), TARGETS, estimator=Prompt(baseline="nonce"))


def test_a_model_that_reads_no_prompts_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"expected a model with after\(batch, context\) .*, got CNN; take a language model, or"
    ):
        measure(ready(relu_cnn), random_samples(2, "probe"), estimator=Prompt())


def test_a_tokenizer_without_a_chat_template_is_refused(model: CausalLM) -> None:
    with pytest.raises(ValueError, match="expected a tokenizer with a chat template for template=chat, got none; take"):
        measure(model, PROBES, TARGETS, estimator=Prompt(template="chat"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"separator": ""}, "expected a separator of at least one character, got ''; take a space or a newline"),
        ({"order": "sorted"}, "expected an order among given, reversed, got 'sorted'"),
        ({"template": "so {prob}"}, r"expected a template with \{probe\} in it, or chat, got 'so \{prob\}'"),
        ({"baseline": "none"}, "expected a baseline among empty, nonce, shuffled, got 'none'"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Prompt(**settings)
