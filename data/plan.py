"""What is to be computed: wanted minus done, never written out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from data.locks import Part
from data.recipe import Recipe
from data.store import Shard, shard_count, shard_of


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
        return [name for name, samples in self._todo().items() if samples]

    @property
    def todo(self) -> int:
        """Samples to compute."""
        return sum(self._todo().values())

    @property
    def total(self) -> int:
        """Samples of this generation's share, done or not."""
        return sum(self._wanted().values())

    def _share(self, splits: Sequence[str]) -> Iterator[Shard]:
        for name in splits:
            yield from (shard_of(self.recipe, name, number) for number in self._numbers(name))

    def _numbers(self, split: str) -> range:
        """The numbers of the shards of a split that are this generation's share."""
        count = shard_count(self.recipe, split)
        if self.part is None:
            return range(count)
        return range((self.part.number - 1 - self._first(split)) % self.part.parts, count, self.part.parts)

    def _first(self, split: str) -> int:
        """The place of a split's first shard among all of the data set."""
        names = list(self.recipe.splits)
        return sum(shard_count(self.recipe, name) for name in names[: names.index(split)])

    def _wanted(self) -> dict[str, int]:
        """Samples of this generation's share, by split; counted, so that no number of them takes long."""
        wanted = {}
        for name, split in self.recipe.splits.items():
            numbers, last = self._numbers(name), shard_count(self.recipe, name) - 1
            lacking = (last + 1) * self.recipe.store.shard - split.samples  # of the last shard
            wanted[name] = len(numbers) * self.recipe.store.shard - lacking * (last in numbers)
        return wanted

    def _todo(self) -> dict[str, int]:
        """Samples to compute, by split; in time that grows with what is done alone."""
        todo = self._wanted()
        numbers = {name: self._numbers(name) for name in todo}
        for (name, number), failed in self.done.items():
            if number in numbers.get(name, ()) and not (self.retry and failed):
                todo[name] -= len(shard_of(self.recipe, name, number))
        return todo
