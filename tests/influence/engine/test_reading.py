import pytest
import torch
from torch import nn

from influence.engine import padded
from influence.engine.reading import read, why_not
from influence.engine.texts import Texts
from influence.engine.tree import pack
from tests.influence.engine.networks import MADE, ROWS, log_probs, make, totals
from tests.tiny_lm import tiny


class TestRead:
    @pytest.mark.parametrize("places", [5, 512])
    @pytest.mark.parametrize("name", MADE)
    def test_agrees_with_one_text_at_a_time(self, name: str, places: int) -> None:
        network = make(name)
        assert why_not(network) == ""
        measured = read(network, pack(Texts.padded(ROWS), places=places))
        torch.testing.assert_close(
            measured, totals(network, ROWS), rtol=0, atol=1e-11 if name != "phi3 eager" else 1e-5
        )

    def test_reads_a_part_of_each_text(self, network: nn.Module) -> None:
        parts = [[1, 3], [2], [3], [4], [5, 6], [1, 2, 6]]
        measured = read(network, pack(Texts.padded(ROWS, parts)))
        expected = [sum(log_probs(network, row)[t - 1] for t in own) for row, own in zip(ROWS, parts, strict=True)]
        torch.testing.assert_close(measured, torch.stack(expected).detach(), rtol=0, atol=1e-11)

    def test_reads_after_a_prompt(self, network: nn.Module) -> None:
        context = [30, 31, 32, 41, 33]
        (trees,) = pack(Texts.padded(ROWS).after(context))
        assert trees.ids_BL.shape[1] == len(context) + pack(Texts.padded(ROWS))[0].ids_BL.shape[1]
        expected = [log_probs(network, [0, *context, *row[1:]])[len(context) :].sum() for row in ROWS]
        torch.testing.assert_close(read(network, [trees]), torch.stack(expected).detach(), rtol=0, atol=1e-11)

    def test_in_float32_is_as_near_to_the_truth_as_the_plain_loop(self, network: nn.Module) -> None:
        texts = Texts.padded(ROWS)
        true = totals(network, ROWS)
        single = network.float()
        with torch.no_grad():
            naive = (padded.read(single, texts) - true).square().mean().sqrt()
        assert (read(single, pack(texts)) - true).square().mean().sqrt() <= 2 * naive

    def test_reads_through_adapters(self) -> None:
        pytest.importorskip("peft", reason="expected peft, of the extra `text`, got none")
        network = tiny("llama", lora={"r": 2, "init_lora_weights": False}).network
        assert why_not(network) == ""
        measured = read(network, pack(Texts.padded(ROWS)))
        torch.testing.assert_close(measured, totals(network, ROWS), rtol=0, atol=1e-11)
        with network.disable_adapter():
            assert (measured - totals(network, ROWS)).abs().min() > 1e-3


class TestWhyNot:
    def test_of_another_family(self) -> None:
        network = make("llama")
        network.config.model_type = "mamba"
        assert why_not(network).startswith("the network is of type mamba and not of gemma3_text, gpt2, llama")

    def test_of_another_attention(self) -> None:
        network = make("llama")
        network.config._attn_implementation = "flash_attention_2"
        assert why_not(network) == "the attention is flash_attention_2 and takes no mask of one's own"

    def test_of_attention_in_both_directions(self) -> None:
        network = make("gemma3")
        network.config.use_bidirectional_attention = True
        assert why_not(network) == "the attention is bidirectional"

    def test_of_another_head(self) -> None:
        network = make("llama")
        network.lm_head = nn.Sequential(network.lm_head)
        assert why_not(network) == "the head is a Sequential and no Linear"
