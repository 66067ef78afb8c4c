"""Readers in forked processes, for a new process with one thread.

A test process has many threads, and a fork of it may hang at a lock that one of them held.
"""

import concurrent.futures
import multiprocessing
import warnings

import torch
from torch.utils.data import DataLoader

import data


def alone(function, *arguments):
    """function(*arguments) in a new process, where to fork with more than one thread is an error."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_strict, function, *arguments).result()


def _strict(function, *arguments):
    warnings.filterwarnings("error", "This process .* is multi-threaded")
    torch.set_num_threads(1)
    return function(*arguments)


def opened(path):
    """The data set, its files open, which forked workers then inherit."""
    dataset = data.open(path)
    assert len(dataset.split("train").parameters)
    return dataset


def epochs(path, start, workers):
    """What a loader of persistent workers gives in three epochs, as arrays."""
    made = opened(path).split("train").to_torch(0.05, draw=3, draws=2, dtype=torch.float64)
    loader = DataLoader(
        made, batch_size=5, num_workers=workers, persistent_workers=True, multiprocessing_context=start
    )
    found = []
    for epoch in (0, 1, 2):
        made.set_epoch(epoch)
        found.append(tuple(torch.cat(parts).numpy() for parts in zip(*loader, strict=True)))
    return found


def orders(path, workers):
    """What a shuffling loader gives in two epochs, as arrays."""
    loader = DataLoader(
        opened(path).to_torch(0.01),
        batch_size=7,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,  # what a worker imports when it begins takes seconds
        generator=torch.Generator().manual_seed(4),
    )
    return [torch.cat([x for x, _ in loader]).numpy() for _ in range(2)]


def twice(path, workers):
    """The same from two loaders."""
    return orders(path, workers), orders(path, workers)


def digests(path, start):
    """Digests of twelve views, from two processes at the same time."""
    dataset = opened(path)
    views = [dataset.take([k, 23 - k, k]) for k in range(12)]
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context(start)) as pool:
        return list(pool.map(data.Dataset.digest, views))
