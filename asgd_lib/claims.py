"""Claims of a paper, each with the region its measured number must lie in, and the verdicts over seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from asgd_lib import checks
from asgd_lib.arguments import guard
from asgd_lib.intervals import interval
from asgd_lib.verdicts import NOT_REPRODUCED, NOT_TESTED, PARTLY, REPRODUCED, Verdict

_WORST_FIRST = (NOT_REPRODUCED, PARTLY, REPRODUCED, NOT_TESTED)


@dataclass(frozen=True)
class Claim:
    """One falsifiable sentence and the closed region [low, high] that the measured quantity must lie in.

    The region is fixed before the run; `why` argues for it. An interval that lies in the region reproduces the claim, one
    that lies outside does not, one that straddles an end does so partly. `log`: the quantity is a geometric mean over
    seeds (ratios, losses over decades). `floor`: magnitudes below it are rounding noise and are printed as such,
    because their digits differ from machine to machine; they are judged as they are. `sample` names what each sample stands
    for, where it is not a seed.
    """

    id: str
    says: str
    source: str  # the paper and the place in it
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    why: str = ""
    level: float = 0.95
    log: bool = False
    floor: float = 0.0
    sample: str = "seed"

    def __post_init__(self):
        if not (self.id and self.says and self.source):
            raise ValueError(f"A claim needs an id, a sentence and a source; got {self.id!r}, {self.says!r}, {self.source!r}.")
        if not self.low <= self.high or (math.isinf(self.low) and math.isinf(self.high)):
            raise ValueError(
                f"{self.id} must have low <= high, one of them finite, or nothing could refute it; got [{self.low}, {self.high}]."
            )
        checks.inside(f"The level of {self.id}", self.level, 0.0, 1.0, open_low=True, open_high=True)
        checks.non_negative(f"The floor of {self.id}", self.floor)

    @property
    def suffix(self) -> str:
        """The unit as it stands behind a number: 'x', '%' or ' sums'."""
        return self.unit if self.unit in ("", "x", "%") else f" {self.unit}"

    @property
    def expected(self) -> str:
        """The region in words: '>= 1.5x', '0.9 to 1.1', '<= 1e-12', '= 0'."""
        unit = self.suffix
        if self.low == self.high:
            return f"= {self.low:g}{unit}"
        if math.isinf(self.high):
            return f">= {self.low:g}{unit}"
        if math.isinf(self.low):
            return f"<= {self.high:g}{unit}"
        return f"{self.low:g} to {self.high:g}{unit}"

    def check(self, samples: Any, note: str = "") -> Verdict:
        """The verdict on samples (S,), one a seed: Student's t interval of the mean against the region.

        One seed has no interval: 'not tested'. Samples that are not finite are never dropped. nan (no value: the run
        diverged) lies outside every region, +-inf inside only where that end of the region is open. If any lies
        outside, the claim is 'not reproduced'. If all lie inside there is still no mean, so the median and the range of
        the samples take the interval's place; the range holds the true median with probability 1 - 2^(1-S), and
        'reproduced' asks for this to reach the level (6 seeds for 95 %), 'partly' is the most that fewer seeds give.
        """
        values = np.asarray(samples, dtype=float)
        if values.ndim != 1 or not len(values):
            raise ValueError(f"{self.id} needs its samples as one array (seeds,), not empty; got shape {values.shape}.")
        if len(values) == 1:
            remedy = f"one {self.sample} gives no interval: run two or more"
            return self._verdict(NOT_TESTED, (values[0],) * 3, 1, _join(note, remedy))
        if not np.isfinite(values).all():
            return self._check_infinite(values, note)
        measured = interval(values, self.level, self.log)
        return self._verdict(self._compare(measured.low, measured.high), measured, len(values), note)

    def check_exact(self, value: float, note: str = "") -> Verdict:
        """The verdict on a deterministic quantity: reproduced or not, as `value` lies in the region (nan never does)."""
        value = float(value)
        return self._verdict(self._compare(value, value), (value, value, value), None, note)

    def check_all(self, conditions: Mapping[Any, Any], note: str = "") -> Verdict:
        """One verdict for a claim that is made under several conditions: label -> samples (S,), or a number if exact.

        Reproduced if it is under every condition; not reproduced if it is under none, and refuted under one at least;
        else partly. The number shown is the worst: of the conditions with the worst verdict, the one whose interval
        reaches farthest out of the region, or least far into it. Many intervals at `level` each would miss too often
        together: with m conditions each is taken at 1 - (1 - level)/m (Bonferroni), and all of them hold together with
        probability `level`.
        """
        if not conditions:
            raise ValueError(f"{self.id} needs at least one condition to check.")
        strict = replace(self, level=1 - (1 - self.level) / len(conditions))
        verdicts = {
            str(label): strict.check_exact(samples) if np.ndim(samples) == 0 else strict.check(samples)
            for label, samples in conditions.items()
        }
        found = [v.verdict for v in verdicts.values()]
        tested = [v for v in found if v != NOT_TESTED]
        if not tested:
            overall = NOT_TESTED
        elif set(found) == {REPRODUCED}:
            overall = REPRODUCED
        else:
            overall = NOT_REPRODUCED if NOT_REPRODUCED in tested and REPRODUCED not in tested else PARTLY
        worst = min(verdicts, key=lambda label: (_WORST_FIRST.index(verdicts[label].verdict), self._margin(verdicts[label])))
        one = verdicts[worst]
        counts = Counter(found)
        counted = ", ".join(f"{counts[kind]} {kind}" for kind in (REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_TESTED) if counts[kind])
        say = f"worst of {len(found)} conditions: {worst}; {counted}" if len(found) > 1 else worst
        if any(v.seeds for v in verdicts.values()):
            say += f"; each at {100 * strict.level:.4g} %"
        return replace(one, claim=self, verdict=overall, note=_join(note, say, one.note), conditions=tuple(verdicts.items()))

    def not_tested(self, reason: str) -> Verdict:
        """The verdict on a claim that this run does not check; `reason` says why and what would."""
        if not reason:
            raise ValueError(f"{self.id}.not_tested needs a reason.")
        return self._verdict(NOT_TESTED, (math.nan,) * 3, 0, reason)

    def _verdict(self, verdict: str, measured: tuple[float, float, float], seeds: int | None, note: str) -> Verdict:
        return Verdict(self, verdict, *map(float, measured), seeds=seeds, note=note)

    def _compare(self, low: float, high: float) -> str:
        if self.low <= low and high <= self.high:
            return REPRODUCED
        return PARTLY if low <= self.high and high >= self.low else NOT_REPRODUCED

    def _check_infinite(self, values: np.ndarray, note: str) -> Verdict:
        odd = values[~np.isfinite(values)]
        say = f"{len(odd)} of {len(values)} {self.sample}s gave no finite number"
        outside = [v for v in odd if not self.low <= v <= self.high]
        if outside:
            return self._verdict(NOT_REPRODUCED, (outside[0],) * 3, len(values), _join(note, say))
        # The middle sample and not the mean of two: (-inf + inf) / 2 is no number.
        ordered = np.sort(values)
        middle, low, high = ordered[(len(ordered) - 1) // 2], ordered[0], ordered[-1]
        verdict = self._compare(low, high)
        if verdict == REPRODUCED and 2.0 ** (1 - len(values)) > 1 - self.level:
            verdict, say = PARTLY, f"{say}: too few {self.sample}s for an interval of the median"
        return self._verdict(verdict, (middle, low, high), len(values), _join(note, say, "median and range shown"))

    def _margin(self, verdict: Verdict) -> float:
        """How far inside the region the whole interval lies; negative: how far it reaches out; nan: as far as can be."""
        if math.isnan(verdict.measured):
            return -math.inf
        # Nothing reaches out of an open end; the difference would be nan where an infinite sample lies at it.
        below = math.inf if self.low == -math.inf else verdict.low - self.low
        above = math.inf if self.high == math.inf else self.high - verdict.high
        return min(below, above)


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


guard(__name__)
