"""Five partitioners. Each returns one sorted int64 index array a worker, and every sample is in exactly one of them.

The result is a function of the arguments and `seed` alone (numpy's `default_rng`, one stream a partitioner), with the
proviso that numpy may change a generator's stream between releases. Nothing resamples until it is content, so nothing
can hang; no worker is empty unless `min_size=0` allows it. Errors are ValueErrors that say what is allowed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from asgd_lib import checks
from asgd_lib.partition import arguments

Parts = list[np.ndarray]


def iid(labels_or_n: ArrayLike | Sequence[str], n_workers: int, *, seed: int = 0) -> Parts:
    """A random permutation of the N samples in `n_workers` equal cuts (sizes differ by at most one)."""
    total = arguments.samples(labels_or_n)
    n = arguments.workers(n_workers, total)
    return _sorted(np.array_split(_rng("iid", seed).permutation(total), n))


def dirichlet(labels: ArrayLike | Sequence[str], n_workers: int, alpha: float = 0.5, *, seed: int = 0, min_size: int = 1) -> Parts:
    """Label skew: class c is split by p_c ~ Dirichlet(alpha, ..., alpha) over the workers (Yurochkin et al. 2019).

    alpha -> infinity gives every worker the global class mix, alpha -> 0 gives each class to one worker. Where that
    leaves a worker with fewer than `min_size` samples, single samples move to it from whichever worker is then the
    largest, out of that worker's commonest class: at most `n_workers * min_size` moves and no second draw, so every
    alpha > 0 comes to an end. A number n for `labels` stands for n samples of one class.
    """
    return _skewed("dirichlet", labels, n_workers, alpha, seed, min_size)


def quantity_skew(labels_or_n: ArrayLike | Sequence[str], n_workers: int, alpha: float = 0.5, *, seed: int = 0, min_size: int = 1) -> Parts:
    """Size skew: sizes N q, q ~ Dirichlet(alpha, ..., alpha), filled at random (Li et al. 2022, NIID-Bench).

    Workers with fewer than `min_size` samples are topped up as in `dirichlet`.
    """
    return _skewed("quantity_skew", arguments.samples(labels_or_n), n_workers, alpha, seed, min_size)


def shards(labels: ArrayLike | Sequence[str], n_workers: int, shards_per_worker: int = 2, *, seed: int = 0) -> Parts:
    """Sort by label, cut into `n_workers * shards_per_worker` equal shards, deal them at random (McMahan et al. 2017).

    A worker sees at most `shards_per_worker` classes if every class border is a cut, at most twice that if no class is
    smaller than a shard. Within a class the order is random.
    """
    codes = arguments.classes(labels)
    per_worker = checks.count("shards_per_worker", shards_per_worker)
    n = arguments.workers(n_workers, len(codes), per_worker)
    rng = _rng("shards", seed)
    shuffled = rng.permutation(len(codes))
    cuts = np.array_split(shuffled[np.argsort(codes[shuffled], kind="stable")], n * per_worker)
    hands = rng.permutation(n * per_worker).reshape(n, per_worker)
    return _sorted([np.concatenate([cuts[shard] for shard in hand]) for hand in hands])


def feature_skew(X: ArrayLike, n_workers: int, strength: float = 1.0, *, seed: int = 0) -> Parts:
    """Covariate skew: sort by the first principal component, blended with a random order, and cut into equal parts.

    The key of a sample is strength * (rank of its projection) + (1 - strength) * (rank in a random permutation): 1 is a
    pure sort (ties at random), 0 is as good as `iid`. Which worker gets which part is random, so that no worker's place
    on the axis goes with its number, and hence its speed. `X` is `(N, features)`, or `(N,)`: a single feature, or
    labels; a number n stands for the samples' positions.
    """
    table = arguments.features(X)
    n = arguments.workers(n_workers, len(table))
    checks.inside("strength", strength, 0.0, 1.0)
    rng = _rng("feature_skew", seed)
    blend, ties = rng.permutation(len(table)), rng.permutation(len(table))
    rank = np.empty(len(table))
    rank[np.lexsort((ties, _projection(table)))] = np.arange(len(table))
    order = np.lexsort((ties, strength * rank + (1.0 - strength) * blend))
    cuts = np.array_split(order, n)
    return _sorted([cuts[part] for part in rng.permutation(n)])


def _rng(name: str, seed: int) -> np.random.Generator:
    """A generator that no other partitioner shares, so that equal seeds are not equal draws."""
    return np.random.default_rng([zlib.crc32(name.encode()), checks.count("seed", seed, least=0)])


def _sorted(parts: Parts) -> Parts:
    return [np.sort(part).astype(np.int64) for part in parts]


def _skewed(name: str, labels: ArrayLike | Sequence[str], n_workers: int, alpha: float, seed: int, min_size: int) -> Parts:
    codes = arguments.classes(labels)
    least = checks.count("min_size", min_size, least=0)
    n = arguments.workers(n_workers, len(codes), least)
    checks.positive("alpha", alpha)
    rng = _rng(name, seed)
    sizes = np.bincount(codes)
    shares = np.cumsum(_proportions(rng, float(alpha), (len(sizes), n)), axis=1)
    edges = np.rint(shares * sizes[:, None]).astype(np.int64)
    table = _topped_up(np.diff(edges, axis=1, prepend=0), least)
    parts: list[list[np.ndarray]] = [[] for _ in range(n)]
    for label, row in enumerate(table):
        members = rng.permutation(np.flatnonzero(codes == label))
        for part, piece in zip(parts, np.split(members, np.cumsum(row)[:-1]), strict=True):
            part.append(piece)
    return _sorted([np.concatenate(part) for part in parts])


def _proportions(rng: np.random.Generator, alpha: float, shape: tuple[int, int]) -> np.ndarray:
    """Rows ~ Dirichlet(alpha, ..., alpha), never NaN: normalised Gamma(alpha) draws, for small alpha in logarithms.

    Gamma(a) = Gamma(a + 1) * U^(1/a) in law, so log Gamma(a) = (a log Gamma(a + 1) + log U) / a; subtracting
    the row's maximum before dividing by a keeps it at exp(0) = 1 where a plain draw would be 0/0.
    """
    if alpha >= 1.0:
        weights = rng.standard_gamma(alpha, shape)
        weights /= weights.max(axis=1, keepdims=True)
    else:
        scaled = alpha * np.log(rng.standard_gamma(alpha + 1.0, shape)) + np.log1p(-rng.random(shape))
        with np.errstate(over="ignore"):  # -inf is the right answer: a proportion of zero
            weights = np.exp((scaled - scaled.max(axis=1, keepdims=True)) / alpha)
    return weights / weights.sum(axis=1, keepdims=True)


def _topped_up(table: np.ndarray, least: int) -> np.ndarray:
    """Counts `table (classes, workers)` with single samples moved until every worker has `least`; totals are kept."""
    table, sizes = table.copy(), table.sum(axis=0)
    for needy in np.flatnonzero(sizes < least):
        while sizes[needy] < least:
            giver = int(sizes.argmax())
            label = int(table[:, giver].argmax())
            table[label, giver] -= 1
            table[label, needy] += 1
            sizes[giver] -= 1
            sizes[needy] += 1
    return table


def _projection(table: np.ndarray) -> np.ndarray:
    """`(N,)` coordinates along the first principal direction, its free sign fixed: the largest entry is positive."""
    centred = table - table.mean(axis=0)
    if centred.shape[1] == 1:
        return centred[:, 0]
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    return centred @ (direction * np.sign(direction[np.abs(direction).argmax()]))
