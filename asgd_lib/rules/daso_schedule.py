"""When DASO's nodes talk: batches between global sums, batches until one is received, and how the loss changes both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from asgd_lib.checks import count, finite, inside


class Phase(NamedTuple):
    """How the nodes talk during one epoch. `wait = 0` is blocking; `skip = 0`, as in the authors' code, means every batch, like 1."""

    skip: int = 4  # B: batches from one global sum to the next
    wait: int = 1  # W: batches that a node computes between sending and receiving
    local_skip: int = 1  # GPUs of a node average their gradients every so many batches, once the sum is received

    @property
    def every(self) -> int:
        """Batches from one global sum to the next, at least 1."""
        return max(1, self.skip)


BLOCKING = Phase(0, 0, 0)


def phase_of(values: Any) -> Phase:
    """`values`, one to three whole numbers (B, W, local_skip), as a `Phase`; ValueError with the remedy where they do not fit."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not 2 <= len(values) <= 3:
        raise ValueError(f"A phase is (skip, wait) or (skip, wait, local_skip); got {values!r}.")
    skip, wait = count("skip", values[0], least=0, remedy="0 is blocking."), count("wait", values[1], least=0, remedy="0 is blocking.")
    local_skip = count("local_skip", values[2] if len(values) > 2 else 1, least=0)
    if wait > skip:
        raise ValueError(f"wait must be at most skip, so that one sum is received before the next but one is sent; got {values!r}.")
    return Phase(skip, wait, local_skip)


def unroll(cycling: Phase, warm_up: int, cool_down: int, epochs: int | None) -> tuple[Phase, ...]:
    """One phase an epoch: `warm_up` blocking epochs, `cycling`, and `cool_down` blocking epochs at the end; the last one stays for ever."""
    if epochs is None:
        return (BLOCKING,) * warm_up + (cycling,)
    return (BLOCKING,) * warm_up + (cycling,) * (epochs - warm_up - cool_down) + (BLOCKING,) * cool_down


def plateau_phases(
    losses: Iterable[float],
    epochs: int,
    *,
    warm_up: int = 4,
    cool_down: int = 4,
    skip: int = 4,
    most: int = 8,
    threshold: float = 0.05,
    patience: int = 2,
    halve_wait: bool = False,
) -> tuple[Phase, ...]:
    """The phases of all `epochs` epochs, given the training loss at the end of each epoch so far: skips shrink while the loss stalls.

    Cycling begins with (B, W) = (`skip`, 1). An epoch is bad unless its loss is below (1 - `threshold`) times the best so far; on the bad
    epoch after `patience` others B is halved and W is lowered by 1 (halved with `halve_wait`), to between 1 and B; at B = 1 it starts again
    from B = `most`, W = local_skip = `most` // 4. Epochs whose losses are not known yet go on like the last known one.

    Source: Heat, `epoch_loss_logic` and `DetectMetricPlateau`, which fire on the third bad epoch where the documentation says second, and
    lower W by 1 where the paper and the code's comment halve it (our reading). With `warm_up = 0` Heat's code never leaves the blocking
    phase; here cycling begins at once.
    """
    epochs, warm_up, cool_down = lengths(epochs, warm_up, cool_down)
    skip, patience = count("skip", skip), count("patience", patience, least=0)
    most = count("most", most, least=4, remedy="W restarts at a quarter of it.")
    inside("threshold", threshold, 0.0, 1.0, open_high=True)
    losses = [float(loss) for loss in losses]
    if losses:
        finite("every loss", losses)
    now, best, bad = Phase(skip, 1, 1), float("inf"), 0
    made = [now] if not warm_up else []
    for epoch in range(max(1, warm_up), epochs - cool_down):
        if epoch - 1 < len(losses):
            loss = losses[epoch - 1]
            better = loss < best * (1.0 - threshold if best >= 0 else 1.0 + threshold)
            best, bad = (loss, 0) if better else (best, bad + 1)
            if bad > patience:
                now, bad = _next(now, most, halve_wait), 0
        made.append(now)
    made = made[: max(0, epochs - warm_up - cool_down)]
    return (BLOCKING,) * warm_up + tuple(made) + (BLOCKING,) * cool_down


def _next(now: Phase, most: int, halve_wait: bool) -> Phase:
    if now.skip == 1:
        return Phase(most, most // 4, most // 4)
    skip, wait = now.skip // 2, now.wait // 2 if halve_wait else now.wait - 1
    return Phase(skip, min(skip, max(1, wait)), max(1, now.local_skip // 2))


def lengths(epochs: int, warm_up: int, cool_down: int) -> tuple[int, int, int]:
    """The three as ints; ValueError where the blocking epochs do not fit into `epochs`."""
    epochs, warm_up, cool_down = count("epochs", epochs), count("warm_up", warm_up, least=0), count("cool_down", cool_down, least=0)
    if warm_up + cool_down > epochs:
        raise ValueError(f"{warm_up} epochs of warm-up and {cool_down} of cool-down do not fit into {epochs}; ask for more epochs.")
    return epochs, warm_up, cool_down
