"""First-order influence by two libraries: the products of gradients of the loss, g_i . g_j."""

import tempfile
from collections.abc import Callable

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset, TensorDataset

Pairs = Callable[[int], np.ndarray]


def captum(model: nn.Module, samples: TensorDataset) -> Pairs:
    """`TracInCP` of one checkpoint, with the gradients of a batch taken at once."""
    from captum.influence import TracInCP

    def gains(count: int) -> np.ndarray:
        traced = TracInCP(
            model,
            Subset(samples, range(count)),
            checkpoints=["the present weights"],
            checkpoints_load_func=lambda *_: 1.0,
            loss_fn=nn.CrossEntropyLoss(reduction="sum"),
            batch_size=count,
            sample_wise_grads_per_batch=True,
        )
        score_TP: Tensor = traced.influence(samples[:])
        return score_TP.T.numpy().astype(np.float64)

    return gains


def kronfluence(model: nn.Module, samples: TensorDataset) -> Pairs:
    """The strategy `identity`: no curvature."""
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments
    from kronfluence.task import Task

    class CrossEntropy(Task):  # type: ignore[misc]
        def compute_train_loss(self, batch: tuple[Tensor, Tensor], model: nn.Module, sample: bool = False) -> Tensor:
            return F.cross_entropy(model(batch[0]), batch[1], reduction="sum")

        def compute_measurement(self, batch: tuple[Tensor, Tensor], model: nn.Module) -> Tensor:
            return self.compute_train_loss(batch, model)

    task = CrossEntropy()
    prepared = prepare_model(model, task)

    def gains(count: int) -> np.ndarray:
        train: Dataset[tuple[Tensor, Tensor]] = Subset(samples, range(count))
        with tempfile.TemporaryDirectory() as folder:
            analyzer = Analyzer("bench", prepared, task, cpu=True, disable_tqdm=True, output_dir=folder)
            analyzer.fit_all_factors("identity", train, factor_args=FactorArguments(strategy="identity"))
            analyzer.compute_pairwise_scores(
                "pairs", "identity", samples, train,
                per_device_query_batch_size=len(samples), per_device_train_batch_size=count,
            )  # fmt: skip
            score_TP: Tensor = analyzer.load_pairwise_scores("pairs")["all_modules"]
        return score_TP.T.numpy().astype(np.float64)

    return gains
