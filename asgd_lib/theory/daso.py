"""DASO's formulas: what a merge does to the models, how much progress it costs, when who talks, and how long an epoch takes.

Symbols: `nodes` P, `skip` B batches between global sums, `wait` W batches from sending to receiving; a = 2 W / (2 W + P) is the weight
that a node's own model keeps in the merge x <- (2 W x + sum of P models) / (2 W + P).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from asgd_lib.checks import count, inside, non_negative, positive

BFLOAT16_ROUNDOFF = 2.0**-8  # largest relative error of rounding to the nearest bfloat16: 8 significant bits


def daso_own_weight(wait: int, nodes: int) -> float:
    """a = 2 W / (2 W + P), by which a merge contracts the nodes' distances from their mean; 0 for a blocking average.

    Source: Heat's code, as printed, and arXiv:2104.05588, our reading; the contraction is derived.
    """
    wait, nodes = count("wait", wait, least=0), count("nodes", nodes)
    return 2.0 * wait / (2.0 * wait + nodes)


def daso_efficiency(skip: int, wait: int, nodes: int, *, next_sum: bool = False) -> float:
    """Progress in a cycle of B batches, over B, when all nodes move alike: 1 - W P / (B (2 W + P)) for W < B.

    A sum that is received only when the next one is sent (W = B, or `next_sum` for Heat's early return) gives 1 / (2 - a): two cycles
    interleave. Source: derived.
    """
    skip, wait, a = count("skip", skip), count("wait", wait, least=0, most=skip), daso_own_weight(wait, nodes)
    if not wait:
        return 1.0
    return 1.0 / (2.0 - a) if next_sum or wait == skip else 1.0 - (1.0 - a) * wait / skip


def daso_multiplier(
    step: ArrayLike, skip: int, wait: int, nodes: int, momentum: float = 0.0, *, differences: bool = False
) -> float | np.ndarray:
    """Factor by which a cycle of B batches multiplies the mean of all models on f = x^2 / 2, at lr = each `step` (`differences`: their
    spread).

    The spectral radius of M^(B - W) (D M^W + (1 - a) e e') with M = [[1 - lr, -beta], [lr, beta]], one batch of heavy ball on (x, u),
    D = diag(a, 1), since a merge leaves u alone, and e = (1, 0); for W = B the model sent one cycle before takes the place of x. The sum
    that a node receives has no part in how nodes differ. Source: derived; equal speeds, nodes alike but for their minimisers.
    """
    positive("step", step)
    inside("momentum", momentum, 0.0, 1.0, open_high=True)
    skip, wait, a = count("skip", skip), count("wait", wait, least=0, most=skip), daso_own_weight(wait, nodes)
    step, power = np.asarray(step, dtype=float), np.linalg.matrix_power
    beta = np.full_like(step, momentum)
    batch = np.stack([np.stack([1.0 - step, -beta], -1), np.stack([step, beta], -1)], -2)
    own, old = np.diag([a, 1.0]), np.diag([0.0 if differences else 1.0 - a, 0.0])
    if wait < skip:
        cycle = power(batch, skip - wait) @ (own @ power(batch, wait) + old)
    else:  # (x, u) when sending, and the same one cycle before
        cycle = np.zeros((*step.shape, 4, 4))
        cycle[..., :2, :2], cycle[..., :2, 2:], cycle[..., 2:, :2] = power(batch, skip) @ own, power(batch, skip) @ old, np.eye(2)
    largest = np.abs(np.linalg.eigvals(cycle)).max(-1)
    return largest if step.ndim else float(largest)


def daso_critical_step(L: float, skip: int, wait: int, nodes: int, momentum: float = 0.0, *, differences: bool = True) -> float:
    """Constant step on f = L x^2 / 2 at which `daso_multiplier` of the mean, or with `differences` of the spread, first exceeds 1.

    Without momentum it is at least 2 / L whatever W, and above it for odd W; momentum, which a merge leaves alone, makes it far smaller for
    some W. Accurate to 1e-9, if no unstable interval is narrower than a thousandth. Source: derived.
    """
    positive("L", L)

    def unstable(step: ArrayLike) -> np.ndarray:
        modes = (False, True) if differences and nodes > 1 else (False,)
        return np.any([daso_multiplier(step, skip, wait, nodes, momentum, differences=mode) > 1.0 + 1e-10 for mode in modes], 0)

    least = 0.01
    while unstable(least):  # near momentum 1
        least /= 10.0
    steps = np.geomspace(least, 10.0, round(7000 / 3 * math.log10(10.0 / least)))
    high = steps[unstable(steps)][0]
    low = high * 0.999
    while high - low > 1e-10 * high:
        middle = (low + high) / 2.0
        low, high = (low, middle) if unstable(middle) else (middle, high)
    return float(low) / L


def daso_bytes(batches: int, skip: int, nodes: int, model_bytes: float, *, share: float = 1.0) -> float:
    """Bytes between the nodes in an epoch of `batches`: ceil(batches / B) ring all-reduces of 2 (P - 1) models each.

    `share` = 1/2 for models sent in 16 instead of 32 bits; `skip` = 1 is a blocking epoch, and synchronous data-parallel training in a
    hierarchy of rings. Source: derived from ring all-reduce (Patarasuk and Yuan 2009).
    """
    non_negative("model_bytes", model_bytes)
    inside("share", share, 0.0, 1.0)
    return math.ceil(count("batches", batches) / count("skip", skip)) * 2.0 * (count("nodes", nodes) - 1) * model_bytes * share


def flat_ring_bytes(batches: int, nodes: int, per_node: int, model_bytes: float) -> float:
    """Bytes between the nodes in an epoch of synchronous training with one flat ring through all n = P g GPUs: P 2 (n - 1) / n a batch.

    Source: derived; the ring crosses from node to node P times, and every crossing carries 2 (n - 1) / n models.
    """
    non_negative("model_bytes", model_bytes)
    n = count("nodes", nodes) * count("per_node", per_node)
    return count("batches", batches) * nodes * 2.0 * (n - 1) / n * model_bytes if nodes > 1 else 0.0


def daso_batch_time(batch: float, all_reduce: float, broadcast: float, skip: int, wait: int) -> float:
    """Seconds a batch in steady state: t + (max(0, r - W t) + b) / B for W < B, and max(t + b / B, r / B) for W = B.

    `batch` t: gradient and all-reduce in the node; `all_reduce` r: between nodes, one at a time; `broadcast` b: in the node, after a merge.
    W = 0 is blocking: t + (r + b) / B. Fixed, equal speeds. Source: derived.
    """
    positive("batch", batch)
    non_negative("all_reduce", all_reduce)
    non_negative("broadcast", broadcast)
    skip, wait = count("skip", skip), count("wait", wait, least=0, most=skip)
    if wait == skip:
        return max(batch + broadcast / skip, all_reduce / skip)
    return batch + (max(0.0, all_reduce - wait * batch) + broadcast) / skip


def daso_saving(share: float, blocking: float = 0.0, *, compressed: bool = False, skip: int = 4, wait: int = 1) -> float:
    """Training time saved against synchronous training with the same rings, when `share` of a synchronous batch is communication.

    `blocking`: fraction of the epochs that are warm-up and cool-down (`compressed`: they send half the bytes; latencies neglected). The
    other epochs expose what W batches cannot hide. Times within a node are part of the batch. Source: derived.
    """
    inside("share", share, 0.0, 1.0, open_high=True)
    inside("blocking", blocking, 0.0, 1.0)
    cycling = daso_batch_time(1.0 - share, share, 0.0, skip, wait)
    return 1.0 - blocking * (1.0 - share / 2.0 if compressed else 1.0) - (1.0 - blocking) * cycling


def daso_share_for(saving: float, blocking: float = 0.0, *, compressed: bool = False, skip: int = 4, wait: int = 1) -> float:
    """The least share of communication at which `daso_saving` reaches `saving`; ValueError where none does. Source: derived."""
    inside("saving", saving, 0.0, 1.0, open_high=True)

    def enough(share: float) -> bool:
        return daso_saving(share, blocking, compressed=compressed, skip=skip, wait=wait) >= saving

    # With W = B the sums, one at a time, take over from the batches at the share B / (B + 1), and from there the saving may fall again.
    ends = (0.0, *([skip / (skip + 1.0)] if wait == skip else []), 1.0 - 1e-9)
    reached = next((i for i, share in enumerate(ends) if i and enough(share)), None)
    if reached is None:
        raise ValueError(f"No share of communication lets B = {skip}, W = {wait} save {saving:g}; skip more batches or block less.")
    low, high = ends[reached - 1], ends[reached]
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
