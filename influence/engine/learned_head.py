"""A head that has learned: its words are streamed with what each probe's steps add to their logits.

Its outputs, V words, are too many to hold for all places. The gradients d_k in them, [K V] a probe, are the only thing
of that size that is kept. With logits z and the weight r of each scored token e in the loss,

    dL/dz = sum_e r_e (softmax(z_e) - onehot(word_e)),    dL/dh = W^T dL/dz,

and where logits are capped, z = cap tanh(y / cap), dL/dy = (1 - (z / cap)^2) dL/dz.

A tied head has its weight from the embedding, whose gradients are sparse rows g_j of words w_j:

    y_v = W_v . h + b_v + sum_k c_k (h . h_k + 1) d_kv + sum_j c_j (h . g_j) [v = w_j].

Suffixes beside those of `influence.engine.head`: K factors of the head, J of the embedding.
"""

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

from influence.engine.head import Head, Logits, Normaliser, within
from influence.engine.layers import Factors, outer_products, pair_sums, pairs, similarity, spread
from influence.engine.tree import Trees


class LearnedHead(Head):
    """Logits of each tree under the weights of its own probe.

    Args:
        linear, cap: as of `Head`.
        num_trees, num_factors: scored places of all steps that are going to be learned, of so many trees.

    Attributes:
        tied: what the embedding has learned, where it has the same weight.
    """

    def __init__(self, linear: nn.Linear, cap: float | None, *, num_trees: int, num_factors: int) -> None:
        super().__init__(linear, cap)
        num_words, num_hidden = self.weight_VH.shape
        self.input_BKH = self.weight_VH.new_zeros(num_trees, 0, num_hidden)
        self.held_BKV = self.weight_VH.new_empty(num_trees, num_factors, num_words)
        self.scale_K, self.counts = self.weight_VH.new_zeros(0), list[int]()
        self.tied: Factors | None = None

    def gradient(self) -> Float[Tensor, "B K V"]:
        """In the logits, of the steps so far."""
        return self.held_BKV[:, : len(self.scale_K)]

    def logits(self, hidden_BSH: Float[Tensor, "B S H"]) -> Logits:
        """Logits of these places before the cap."""
        base = super().logits(hidden_BSH)
        product_BSK = similarity(hidden_BSH, self.input_BKH, self.scale_K, bias=self.bias_V is not None)
        gradient_BKV = self.gradient()

        def of(words: slice) -> Tensor:
            return base(words).baddbmm_(product_BSK, gradient_BKV[:, :, words])

        if self.tied is None:
            return of
        ids_BJ = self.tied.x_BK
        product_BSJ = similarity(hidden_BSH, self.tied.gradient_BKO, self.tied.scale_K, bias=False)

        def of_tied(words: slice) -> Tensor:
            logits_BSC = of(words)
            here_BJ = (ids_BJ >= words.start) & (ids_BJ < words.stop)
            if here_BJ.any():
                column_BSJ = torch.where(here_BJ, ids_BJ - words.start, 0)[:, None].expand_as(product_BSJ)
                logits_BSC.scatter_add_(2, column_BSJ, product_BSJ * here_BJ[:, None])
            return logits_BSC

        return of_tied

    def rows(self, ids_BL: Int[Tensor, "B L"]) -> Float[Tensor, "B L H"]:
        """What these words' rows of the weight have learned."""
        index_BKL = ids_BL[:, None].expand(-1, len(self.scale_K), -1)
        gradient_BLK = self.gradient().gather(2, index_BKL).transpose(1, 2)
        return (gradient_BLK * self.scale_K) @ self.input_BKH

    def dot(self, other: "LearnedHead") -> Float[Tensor, "P T"]:
        """Inner products of what each probe has changed in the weight with what each of another head has.

        Of a tied weight, the change is that of the head and of the embedding, and heads meet embeddings in
        sum_kj c_k c_j d_k[w_j] (h_k . g_j).
        """
        one, two = (self.input_BKH, self.gradient()), (other.input_BKH, other.gradient())
        product_PKTL = outer_products(*one, *two, bias=self.bias_V is not None)
        product_PT = pair_sums(product_PKTL, self.scale_K, other.scale_K)
        if self.tied is None or other.tied is None:
            return product_PT
        return product_PT + self._dot_embedding(other.tied) + other._dot_embedding(self.tied).T

    def _dot_embedding(self, embedding: Factors) -> Float[Tensor, "P T"]:
        gradient_PKTJ = self.gradient()[:, :, embedding.x_BK]
        product_PKTJ = pairs(self.input_BKH, embedding.gradient_BKO) * gradient_PKTJ
        return pair_sums(product_PKTJ, self.scale_K, embedding.scale_K)

    def learn(
        self, hidden_BKH: Float[Tensor, "B K H"], trees: Trees, scale_S: Float[Tensor, " S"]
    ) -> tuple[Float64[Tensor, " B"], Float[Tensor, "B K H"]]:
        """Take a step on the scored tokens of each tree.

        Returns:
            The loss of each tree, and its gradient in the hidden states.
        """
        num_trees, num_places = hidden_BKH.shape[:2]
        done = len(self.scale_K)
        gradient_BKV = self.held_BKV[:, done : done + num_places]
        normaliser, chunks = Normaliser(), []
        for words, logits_BKC in self.chunks(hidden_BKH):
            gradient_BKV[:, :, words] = logits_BKC
            normaliser.add_(logits_BKC.flatten(0, 1))
            chunks.append(words)

        total_N = normaliser.total()
        weight_E = trees.mean_weights()
        tree_E, place_E = trees.source_E // num_places, trees.source_E % num_places
        log_prob_E = gradient_BKV[tree_E, place_E, trees.word_E].double() - total_N[trees.source_E]
        loss_B = total_N.new_zeros(num_trees).index_add(0, tree_E, -weight_E * log_prob_E)

        weight_N = torch.zeros_like(total_N).index_add(0, trees.source_E, weight_E)
        rounded_N = total_N.to(hidden_BKH.dtype)  # softmax = exp(z - rounded) exp(rounded - total), rounded but once
        share_BK1 = (weight_N * (rounded_N - total_N).exp()).to(hidden_BKH.dtype).view(num_trees, -1, 1)
        hidden_gradient_NH = torch.zeros_like(hidden_BKH, dtype=torch.float64).flatten(0, 1)
        for words in chunks:
            part_BKC = gradient_BKV[:, :, words]
            slope_BKC = None if self.cap is None else 1 - (part_BKC / self.cap) ** 2
            part_BKC.sub_(rounded_N.view(num_trees, -1, 1)).exp_().mul_(share_BK1)
            here = within(trees.word_E, words)
            index = (tree_E[here], place_E[here], trees.word_E[here] - words.start)
            part_BKC.index_put_(index, -weight_E[here].to(part_BKC.dtype), accumulate=True)
            if slope_BKC is not None:
                part_BKC.mul_(slope_BKC)
            hidden_gradient_NH += part_BKC.flatten(0, 1) @ self.weight_VH[words]
        hidden_gradient_BKH = hidden_gradient_NH.to(hidden_BKH.dtype).view_as(hidden_BKH)
        hidden_gradient_BKH += self._learned_transpose(gradient_BKV)

        self.input_BKH = torch.cat([self.input_BKH, hidden_BKH], dim=1)
        self.counts.append(num_places)
        self.scale_K = spread(scale_S, self.counts)
        return loss_B, hidden_gradient_BKH

    def _learned_transpose(self, new_BKV: Float[Tensor, "B K V"]) -> Float[Tensor, "B K H"]:
        """What the steps before this one add to W^T dL/dy."""
        product_BKK = similarity(new_BKV, self.gradient(), self.scale_K, bias=False)
        change_BKH = product_BKK @ self.input_BKH
        if self.tied is None:
            return change_BKH
        index_BKJ = self.tied.x_BK[:, None].expand(-1, new_BKV.shape[1], -1)
        return change_BKH + (new_BKV.gather(2, index_BKJ) * self.tied.scale_K) @ self.tied.gradient_BKO
