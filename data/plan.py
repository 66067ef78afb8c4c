"""What is to be computed: wanted minus done, never written out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from data.locks import Part
from data.recipe import Recipe
from data.store import Shard, shard_count, shards_of


@dataclass(frozen=True)
class Plan:
    """The shards of a recipe that one generation is to compute.

    done : (split, number) -> failed samples, as a folder lists what it holds.  part : the share of this generation;
    ``None`` for all.  retry : whether a shard with failed samples is to be computed again.
    """

    recipe: Recipe
    done: Mapping[tuple[str, int], int]
    part: Part | None = None
    retry: bool = False

    def __iter__(self) -> Iterator[Shard]:
        return self.of(list(self.recipe.splits))

    def of(self, splits: Sequence[str]) -> Iterator[Shard]:
        """The shards of some splits, in the order of the recipe."""
        for shard in self._share(splits):
            failed = self.done.get((shard.split, shard.number))
            if failed is None or (self.retry and failed):
                yield shard

    @property
    def splits(self) -> list[str]:
        """The splits of which something is to be computed."""
        return [name for name in self.recipe.splits if any(True for _ in self.of([name]))]

    @property
    def todo(self) -> int:
        """Samples to compute."""
        return sum(map(len, self))

    @property
    def total(self) -> int:
        """Samples of this generation's share, done or not."""
        return sum(map(len, self._share(list(self.recipe.splits))))

    def _share(self, splits: Sequence[str]) -> Iterator[Shard]:
        place = 0  # of a split's first shard among all of the data set
        for name in self.recipe.splits:
            if name in splits:
                for shard in shards_of(self.recipe, name):
                    if self.part is None or self.part.holds(place + shard.number):
                        yield shard
            place += shard_count(self.recipe, name)
