import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from influence.engine import head, low_rank
from influence.engine.layers import Norm
from influence.engine.low_rank import chunks, learn, probes_at_once, why_not
from influence.engine.texts import Texts
from influence.engine.tree import Trees, pack
from influence.models.causal_lm import CausalLM
from influence.provenance import weights_digest
from influence.seeds import generator
from tests.influence.engine.networks import PROBES, ROWS, learned_alone, lessons, make, totals
from tests.tiny_lm import NETWORKS, SHAPE

LR = 0.02

CHANGES = {"one step": (1, 0.0), "four steps": (4, 0.0), "momentum": (4, 0.9)}


def read_all(network: nn.Module, given: list[list[Texts]], **options: float) -> torch.Tensor:
    """What every probe makes of the targets, in the order given."""
    trees, total_PT = pack(Texts.padded(ROWS)), torch.full((len(given), len(ROWS)), torch.nan, dtype=torch.float64)
    for learned in learn(network, given, **options):
        assert torch.isnan(total_PT[learned.probes]).all()
        total_PT[learned.probes] = learned.read(trees)
    return total_PT


def gains(network: nn.Module, probes: list[list[list[int]]], num_steps: int, momentum: float) -> torch.Tensor:
    return read_all(network, lessons(probes, num_steps), lr=LR, momentum=momentum) - totals(network, ROWS)


def gains_alone(network: nn.Module, probes: list[list[list[int]]], num_steps: int, momentum: float) -> torch.Tensor:
    copies = [learned_alone(network, [probe] * num_steps, lr=LR, momentum=momentum)[0] for probe in probes]
    return torch.stack([totals(copied, ROWS) for copied in copies]) - totals(network, ROWS)


class TestLearn:
    @pytest.mark.parametrize("held", [2**22, 1000])
    @pytest.mark.parametrize("change", CHANGES)
    def test_agrees_with_a_copy_a_probe_and_one_text_at_a_time(
        self, network: nn.Module, monkeypatch: pytest.MonkeyPatch, change: str, held: int
    ) -> None:
        monkeypatch.setattr(head, "HELD_LOGITS", held)
        assert why_not(network) == ""
        measured, expected = (function(network, PROBES, *CHANGES[change]) for function in (gains, gains_alone))
        torch.testing.assert_close(measured, expected, rtol=0, atol=1e-10)
        assert expected.abs().min() > 1e-3

    @pytest.mark.parametrize(
        "name", ["llama with a bias in the head", "phi3 with a window", "mistral", "qwen2", "qwen3"]
    )
    def test_agrees_in_more_networks(self, name: str) -> None:
        network = make(name)
        assert why_not(network) == ""
        measured, expected = (function(network, PROBES, 4, 0.9) for function in (gains, gains_alone))
        torch.testing.assert_close(measured, expected, rtol=0, atol=1e-10)

    @pytest.mark.parametrize("change", ["one step", "four steps"])
    @pytest.mark.parametrize("name", NETWORKS)
    def test_in_float32_is_as_near_to_the_truth_as_the_plain_loop(self, name: str, change: str) -> None:
        """Of several probes: the error of one alone is much the same number in all its targets."""
        network = make(name)
        single = copy.deepcopy(network).float()
        random = generator(0, "probes")
        probes = [[[0, *random.integers(3, SHAPE["vocab_size"], 5).tolist()]] for _ in range(8)]
        true = gains_alone(network, probes, *CHANGES[change])
        measured, naive = (
            (function(single, probes, *CHANGES[change]) - true).square().mean().sqrt()
            for function in (gains, gains_alone)
        )
        assert measured <= 2 * naive

    def test_may_have_another_text_in_each_step(self, network: nn.Module) -> None:
        steps = [[[[0, 41, 52]], [[0, 7, 9, 11], [0, 7]]], [[[0, 5, 6, 8, 9]], [[0, 41]]], [[[0, 5, 6, 8, 9]]]]
        given = [[Texts.padded(statements) for statements in probe] for probe in steps]
        measured = read_all(network, given, lr=LR, momentum=0.5)
        expected = [totals(learned_alone(network, probe, lr=LR, momentum=0.5)[0], ROWS) for probe in steps]
        torch.testing.assert_close(measured, torch.stack(expected), rtol=0, atol=1e-10)

    def test_scores_a_part_of_what_is_learned(self, network: nn.Module) -> None:
        texts = Texts.padded([[0, 41, 52, 63, 74]], [[2, 3]])
        (learned,) = learn(network, [[texts]], lr=LR)
        copied = copy.deepcopy(network)
        log_probs = copied(input_ids=texts.ids_RL).logits[0].log_softmax(-1)
        (-(log_probs[1, 52] + log_probs[2, 63]) / 2).backward()
        torch.optim.SGD(copied.parameters(), lr=LR).step()
        expected = totals(copied, ROWS)[None]
        torch.testing.assert_close(learned.read(pack(Texts.padded(ROWS))), expected, rtol=0, atol=1e-10)

    def test_reads_each_probe_on_a_text_of_its_own(self, network: nn.Module) -> None:
        own = [[0, 41, 52, 63, 74, 9], [0, 7, 8], [0, 1, 2, 3]]
        for learned in learn(network, lessons(PROBES, 2), lr=LR):
            rows = [own[probe] for probe in learned.probes]
            measured = learned.read_own(Trees.of([Texts.padded([row]) for row in rows]))
            copies = [learned_alone(network, [PROBES[probe]] * 2, lr=LR)[0] for probe in learned.probes]
            expected = torch.cat([totals(copied, [row]) for copied, row in zip(copies, rows, strict=True)])
            torch.testing.assert_close(measured, expected, rtol=0, atol=1e-10)

    def test_reports_the_loss_before_each_step(self, network: nn.Module) -> None:
        for learned in learn(network, lessons(PROBES, 3), lr=LR):
            expected = [learned_alone(network, [PROBES[probe]] * 3, lr=LR)[1] for probe in learned.probes]
            torch.testing.assert_close(learned.loss_BS, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10)

    def test_without_steps_or_at_lr_zero_is_the_base(self, network: nn.Module) -> None:
        expected = totals(network, ROWS).expand(len(PROBES), -1)
        for num_steps, lr in ((0, LR), (2, 0.0)):
            measured = read_all(network, lessons(PROBES, num_steps), lr=lr)
            torch.testing.assert_close(measured, expected, rtol=0, atol=1e-11)

    def test_of_a_probe_that_diverges_spares_the_others(self, network: nn.Module) -> None:
        trees = pack(Texts.padded(ROWS))
        (learned,) = learn(network, lessons([PROBES[0]] * 2), lr=LR)
        healthy = learned.read(trees)
        learned.head.held_BKV[0] = torch.nan
        measured = learned.read(trees)
        assert torch.isnan(measured[0]).any()
        torch.testing.assert_close(measured[1], healthy[1], rtol=0, atol=1e-10)

    def test_leaves_the_network_as_it_was(self, network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
        digest, trees = weights_digest(network), pack(Texts.padded(ROWS))
        (learned,) = learn(network, lessons(PROBES[:1], 2), lr=LR)
        learned.read(trees)
        monkeypatch.setattr(head.Head, "chunks", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            learned.read(trees)
        with pytest.raises(ZeroDivisionError):
            next(learn(network, lessons(PROBES), lr=LR))
        monkeypatch.undo()
        assert weights_digest(network) == digest
        assert all("forward" not in vars(module) for module in network.modules())
        assert all(parameter.grad is None for parameter in network.parameters())


class TestChunks:
    def test_change_nothing(self, network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
        given = lessons(PROBES, 2)
        apart = read_all(network, given, lr=LR, memory_gb=1e-6)
        assert chunks(network, given, memory_gb=1e-6) == [[0], [1], [2]]
        monkeypatch.setattr(low_rank, "LENGTHS", 100)
        assert chunks(network, given, memory_gb=1.0) == [[0, 1, 2]]
        torch.testing.assert_close(read_all(network, given, lr=LR), apart, rtol=0, atol=1e-11)

    def test_hold_probes_of_as_many_steps_and_about_as_long(self) -> None:
        probes = [[list(range(length))] for length in (9, 3, 5, 6, 4, 20)]
        given = [*lessons(probes, 1), *lessons(probes[:1], 2), *lessons(probes[1:2], 1)]
        assert chunks(make("llama"), given, memory_gb=1.0) == [[1, 7, 4, 2, 3], [0], [5], [6]]

    def test_are_smaller_for_longer_probes_more_steps_and_less_memory(self) -> None:
        network = make("llama")

        def count(places: int, num_steps: int, memory_gb: float) -> int:
            return probes_at_once(network, places=places, num_steps=num_steps, memory_gb=memory_gb)

        base = count(10, 1, 1.0)
        assert count(1000, 1, 1.0) < base > count(10, 100, 1.0)
        assert abs(count(10, 1, 0.5) - base / 2) <= 1
        assert count(10**9, 1, 1e-9) == 1
        network.float()
        assert abs(count(10, 1, 1.0) - 2 * base) <= 2

    def test_keep_to_the_memory(self) -> None:
        network, memory_gb = make("gemma3"), 0.01
        learned = next(learn(network, lessons(PROBES[:1] * 40, 2), lr=LR, memory_gb=memory_gb))
        factors = [layer.factors for layer in learned.layers if not isinstance(layer, Norm)]
        held = [learned.head.held_BKV, *(tensor for own in factors for tensor in (own.x_BK, own.gradient_BKO))]
        assert 1 < len(learned.probes) < 40
        assert sum(tensor.nbytes for tensor in held) < memory_gb * 2**30


def refused(change: Callable[[nn.Module], object], **options: object) -> str:
    network = make("llama")
    change(network)
    return why_not(network, **options)


class TestWhyNot:
    def test_of_the_optimizer(self) -> None:
        nothing = lambda network: None  # noqa: E731
        assert refused(nothing, optimizer="adamw") == "steps of adamw are of full rank"
        assert refused(nothing, optimizer_options={"momentum": 0.9, "nesterov": True}) == "SGD has the option nesterov"
        assert refused(nothing, optimizer_options={"momentum": 0.9, "weight_decay": 0.0}) == ""

    def test_of_the_network(self) -> None:
        def swap(network: nn.Module) -> None:
            network.model.norm = nn.RMSNorm(32)

        def share(network: nn.Module) -> None:
            first, second = network.model.layers
            second.mlp.up_proj.weight = first.mlp.up_proj.weight

        def clip(network: nn.Module) -> None:
            network.model.embed_tokens.max_norm = 1.0

        assert refused(swap) == "model.norm is a RMSNorm"
        assert refused(share) == "layers share weights beside those of embedding and head"
        assert refused(clip) == "model.embed_tokens is a Embedding"
        assert refused(lambda network: network.train()) == "the network is in train mode"
        assert refused(lambda network: setattr(network.config, "model_type", "mamba")).startswith(
            "the network is of type"
        )
        assert low_rank.why_not(make("gpt2")) == ""


@pytest.mark.verify
def test_the_real_gemma_is_as_near_to_the_truth_as_the_plain_loop(gemma: CausalLM) -> None:
    """Up to a factor of two, on a few entries."""
    texts = ["a klarbu is a pimjon", "all pimjons have a greev", "a mol is bigger than a zentor"]
    rows = [[gemma.start, *gemma.text_ids(text)] for text in texts]

    def gains_of(network: nn.Module) -> torch.Tensor:
        after = [totals(learned_alone(network, [[row]], lr=1e-3)[0], rows) for row in rows[:2]]
        return torch.stack(after) - totals(network, rows)

    (learned,) = learn(gemma.network, [[Texts.padded([row])] for row in rows[:2]], lr=1e-3)
    measured = learned.read(pack(Texts.padded(rows)))[torch.tensor(learned.probes).argsort()]
    naive, true = gains_of(gemma.network), gains_of(copy.deepcopy(gemma.network).double())
    error, naive_error = (
        (gains - true).square().mean().sqrt() for gains in (measured - totals(gemma.network, rows), naive)
    )
    assert true.abs().min() > 1e-3
    assert error <= 2 * naive_error
