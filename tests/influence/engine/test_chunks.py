import pytest
import torch

from influence.engine.chunks import Engine, halving, how_many


def test_as_many_as_fit_and_one_at_least() -> None:
    assert how_many(2.0**20, 1.0) == 1024
    assert how_many(3.0 * 2**29, 2.0) == 1
    assert how_many(2.0**40, 1.0) == 1


def test_an_engine_needs_memory() -> None:
    with pytest.raises(ValueError, match=r"expected memory_gb above 0, got 0.0; give the engine some memory"):
        Engine(memory_gb=0.0)


class TestHalving:
    def test_of_chunks_that_fit_changes_nothing(self) -> None:
        assert list(halving([[1, 2, 3], [4]], sum)) == [([1, 2, 3], 6, 0), ([4], 4, 0)]

    def test_until_a_device_has_enough_memory(self) -> None:
        def compute(chunk: list[int]) -> int:
            if len(chunk) > 2:
                raise torch.cuda.OutOfMemoryError
            return sum(chunk)

        found = list(halving([[1, 2, 3, 4, 5], [6]], compute))
        assert found == [([1, 2], 3, 1), ([3], 3, 2), ([4, 5], 9, 2), ([6], 6, 0)]

    def test_gives_up_on_a_single_item(self) -> None:
        def compute(chunk: list[int]) -> int:
            raise torch.cuda.OutOfMemoryError

        with pytest.raises(torch.cuda.OutOfMemoryError):
            list(halving([[1, 2]], compute))

    def test_is_not_for_a_cpu(self) -> None:
        """Where memory that is not there is an error of the allocator."""

        def compute(chunk: list[int]) -> torch.Tensor:
            return torch.empty(2**60)

        with pytest.raises(RuntimeError, match=r"allocate memory|Storage size"):
            list(halving([[1, 2]], compute))
