"""Batches of images for training a base model."""

from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler, SequentialSampler

from influence.data.vision import ImageSet
from influence.seeds import derive


class LabelledImages(Dataset[dict[str, Tensor]]):
    """Images in [0, 1] with labels; an index list gives the whole batch, far faster than one by one."""

    def __init__(self, image_set: ImageSet) -> None:
        self.image: Float[Tensor, "N 1 height width"] = torch.from_numpy(image_set.images_NHW)[:, None] / 255
        self.label: Int[Tensor, " N"] = torch.from_numpy(image_set.labels_N)

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        return {"image": self.image[indices], "label": self.label[indices]}


class ImageData(pl.LightningDataModule):
    """Shuffled training batches and the test set.

    Args:
        train: what the base model learns.
        test: what its accuracy is told on.
        batch_size: images a step.
        seed: of the order of the images.
    """

    def __init__(self, train: ImageSet, test: ImageSet, *, batch_size: int, seed: int) -> None:
        super().__init__()
        self.train, self.test, self.batch_size = LabelledImages(train), LabelledImages(test), batch_size
        self.generator = torch.Generator().manual_seed(derive(seed, "order of the training images"))

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Every image once an epoch, in a new order each time."""
        return self._loader(self.train, RandomSampler(self.train, generator=self.generator), self.batch_size)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The test set in order."""
        return self._loader(self.test, SequentialSampler(self.test), 1000)

    @staticmethod
    def _loader(images: LabelledImages, order: Sampler[int], batch_size: int) -> DataLoader[dict[str, Tensor]]:
        batches = BatchSampler(order, batch_size, drop_last=False)
        return DataLoader(images, sampler=batches, batch_size=None)
