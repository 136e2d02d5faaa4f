"""Verdicts: how a claim fared, on one line, in a table, or as numbers for a file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asgd_lib.arguments import guard

if TYPE_CHECKING:
    from asgd_lib.claims import Claim

REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_TESTED = "reproduced", "partly", "not reproduced", "not tested"


@dataclass(frozen=True)
class Verdict:
    """What was measured for a claim, its interval, and whether it lies in the claim's region."""

    claim: Claim
    verdict: str  # reproduced, partly, not reproduced, not tested
    measured: float  # nan: not measured
    low: float
    high: float
    seeds: int | None  # None: a deterministic quantity, measured once
    note: str = ""
    conditions: tuple[tuple[str, Verdict], ...] = ()  # label and verdict of each, from Claim.check_all

    @property
    def shown(self) -> str:
        """The measured number with its interval, as printed: '2.73x (2.51 to 2.95)'; '-' where nothing was measured."""
        if math.isnan(self.measured):
            return "-" if self.verdict == NOT_TESTED else "none (diverged)"
        unit = self.claim.suffix
        ends = (self.measured, self.low, self.high)
        if math.isinf(self.measured) and self.low == self.high:  # in every seed: there is no range, and no unit to count
            return "infinite" if self.measured > 0 else "-infinite"
        if all(abs(end) < self.claim.floor for end in ends):
            return f"below {self.claim.floor:g}{unit}"
        middle, low, high = (self._text(end) for end in ends)
        if self.seeds is None or self.verdict == NOT_TESTED:
            return f"{middle}{unit}"
        return f"{middle}{unit} ({low} to {high})"

    @property
    def repeats(self) -> str:
        """How often it was measured: '8 seeds' (or what the claim's samples are), or 'exact' for a deterministic quantity."""
        if self.seeds is None:
            return "exact"
        return f"{self.seeds} {self.claim.sample}{'' if self.seeds == 1 else 's'}" if self.seeds else "-"

    def __str__(self) -> str:
        line = f"{self.claim.id:<4} {self.verdict:<14}  measured {self.shown:<30}  expected {self.claim.expected:<14}  {self.repeats:<8}"
        return (f"{line}  {self.note}" if self.note else line).rstrip()

    def as_dict(self) -> dict[str, Any]:
        """What a file keeps: numbers with 4 significant digits (nan and infinities as words), and the words as printed."""
        claim = self.claim
        kept = {
            "id": claim.id,
            "says": claim.says,
            "source": claim.source,
            "why": claim.why,
            "unit": claim.unit,
            "expected": claim.expected,
            "region": [_plain(claim.low), _plain(claim.high)],
            "level": claim.level,
            "verdict": self.verdict,
            "shown": self.shown,
            "measured": self._kept(self.measured),
            "interval": [self._kept(self.low), self._kept(self.high)],
            "seeds": self.seeds,
            "note": self.note,
        }
        if self.conditions:
            keep = ("verdict", "shown", "measured", "interval", "level", "seeds", "note")
            details = ((label, verdict.as_dict()) for label, verdict in self.conditions)
            kept["conditions"] = {label: {key: detail[key] for key in keep} for label, detail in details}
        return kept

    def _text(self, value: float) -> str:
        if abs(value) < self.claim.floor:
            return "0"
        if math.isinf(value) or (value == int(value) and abs(value) < 1e6):
            return f"{value:g}" if math.isinf(value) else str(int(value))
        digits = self._digits(value, 3)
        rounded = float(f"{value:.{digits}g}")
        if not 1e-3 <= abs(rounded) < 1e6:
            return f"{value:.{digits - 1}e}"
        exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])  # of a logarithm the last bit may be wrong
        return f"{rounded:.{max(digits - 1 - exponent, 0)}f}"

    def _kept(self, value: float) -> float | str:
        if not math.isfinite(value):
            return str(value)
        return 0.0 if abs(value) < self.claim.floor else float(f"{value:.{self._digits(value, 4)}g}")

    def _digits(self, value: float, fewest: int) -> int:
        """Significant digits: `fewest`, or as many more as keep the rounded number on its side of both thresholds."""
        low, high = self.claim.low, self.claim.high
        for digits in range(fewest, 17):
            rounded = float(f"{value:.{digits}g}")
            if (rounded >= low) == (value >= low) and (rounded <= high) == (value <= high):
                return digits
        return 17


def _plain(end: float) -> float | None:
    return None if math.isinf(end) else end


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    """The verdicts as aligned text, their notes below, and a last line that says what the intervals are."""
    verdicts = list(verdicts)
    rows = [("id", "verdict", "measured", "expected", "repeats", "source")]
    rows += [(v.claim.id, v.verdict, v.shown, v.claim.expected, v.repeats, v.claim.source) for v in verdicts]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{v.claim.id}: {v.note}" for v in verdicts if v.note]
    judged = [v.claim for v in verdicts if v.seeds and v.seeds > 1]
    if judged:
        levels = ", ".join(f"{100 * level:.4g} %" for level in sorted({claim.level for claim in judged}))
        samples = " or ".join(dict.fromkeys(f"{claim.sample}s" for claim in judged))
        lines.append(f"Intervals: {levels}, Student's t over {samples} unless noted.")
    return "\n".join(lines)


guard(__name__)
