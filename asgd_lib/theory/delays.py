"""How old gradients are when every worker is always busy. A fresh gradient has delay 0; papers that count it as 1 write
tau = delay + 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asgd_lib.checks import count, inside, positive


def delay_sum(n: int, arrivals: int) -> int:
    """Right side of the delay identity: sum of the delays of all arrivals + sum of the ages in flight = (n - 1) T after
    T = `arrivals`.

    An age in flight is T less the arrivals that the job's model had seen. Exact for any speeds, as every arrival ages
    the n - 1 other jobs by one. Source: derived; Remark 5 of Koloskova, Stich and Jaggi 2022 is the order statement.
    """
    return (count("n", n) - 1) * count("arrivals", arrivals, least=0)


def mean_delay(n: int) -> int:
    """Mean delay of all arrivals in a long run, n - 1 whatever the speeds (counting fresh as 1: n). Source: derived,
    see `delay_sum`.
    """
    return count("n", n) - 1


def arrival_shares(seconds: ArrayLike) -> NDArray[np.float64]:
    """(n,) share of the arrivals that each always-busy worker makes, p_i = (1/s_i) / sum_j (1/s_j). Source: derived,
    exact in the limit.

    `seconds` (n,): each worker's time for one gradient, in seconds.
    """
    positive("seconds", seconds)
    speed = 1.0 / np.atleast_1d(np.asarray(seconds, dtype=float))
    return speed / speed.sum()


def mean_delay_by_worker(seconds: ArrayLike) -> NDArray[np.float64]:
    """(n,) mean delay of each worker's gradients, 1/p_i - 1: the arrivals of the others during its own `seconds` s_i.

    Source: derived. Weighted by the shares p_i the mean is n - 1, that of `mean_delay`.
    """
    return 1.0 / arrival_shares(seconds) - 1.0


def delay_shares_memoryless(n: int, most: int) -> NDArray[np.float64]:
    """(`most` + 1,) share of each delay k = 0, ..., `most` where all n times are exponential with one mean:
    (1/n) (1 - 1/n)^k.

    Whoever is next is any worker with probability 1/n, whatever happened before. Source: derived, exact in the limit.
    """
    return (1.0 - 1.0 / count("n", n)) ** np.arange(count("most", most, least=0) + 1) / n


def delay_tail_bound(n: int, delay: float) -> float:
    """Upper bound min(1, (n - 1) / `delay`) of the share of gradients that are at least that late: Markov's inequality
    on `delay_sum`.

    So fewer than half of the gradients have tau = delay + 1 > 2 n, the ones that delay-adaptive ASGD may drop. Holds at
    every T, for any speeds. Source: derived; the argument is that of Koloskova, Stich and Jaggi 2022 (arXiv:2206.08307)
    and of arXiv:2206.07638.
    """
    positive("delay", delay)
    return min(1.0, (count("n", n) - 1) / float(delay))


def dude_tau_max(n: int) -> int:
    """Greatest model delay of a row of DuDe's table with equal speeds, 2 n - 1, where fresh counts as 1 (as in the
    paper). Source: derived.
    """
    return 2 * count("n", n) - 1


def delay_weights_asgd(n: int) -> NDArray[np.float64]:
    """(n,) weight of grad f(x_{k-a}) in step k of ASGD, by delay a, with equal speeds: all of it at a = n - 1. Source:
    derived.
    """
    weights = np.zeros(count("n", n))
    weights[-1] = 1.0
    return weights


def delay_weights_dude(n: int) -> NDArray[np.float64]:
    """(2 n - 1,) weight of grad f(x_{k-a}) in step k of DuDe, by delay a, with equal speeds: 1/n at each a = n-1, ...,
    2n-2.

    Row i of the table was computed n - 1 steps before it arrived and then stays for n steps. Source: derived.
    """
    weights = np.zeros(2 * count("n", n) - 1)
    weights[n - 1 :] = 1.0 / n
    return weights


def worker_column(worker: ArrayLike, n: int, **beside: ArrayLike) -> NDArray[np.int64]:
    """`worker` (E,) as whole numbers; ValueError unless they are from 0 to n - 1, as many as there are of the one column `beside`."""
    ((name, other),) = beside.items()
    worker, other = np.asarray(worker), np.asarray(other)
    if worker.ndim != 1 or worker.shape != other.shape or not len(worker):
        raise ValueError(f"worker and {name} must be vectors of one length, and not empty; got {worker.shape} and {other.shape}.")
    inside("worker", worker, 0, count("n", n) - 1)
    if (worker != np.floor(worker)).any():
        raise ValueError(f"worker must be whole numbers; got {worker[worker != np.floor(worker)][0]}.")
    return worker.astype(np.int64)
