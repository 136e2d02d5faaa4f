"""One look for all figures: a palette that colour-blind readers can tell apart, and a line style and marker for each colour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes

# Okabe and Ito's colours without black (kept for theory) and yellow (too faint on white), dark and light in turn.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#6A3D9A")
_LINES = ("-", "--", "-.", (0, (1, 1.2)), (0, (5, 1, 1, 1, 1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "<", ">", "*")
NAMES = {
    "time": "time (s)",
    "arrivals": "gradients arrived",
    "updates": "updates of the model",
    "used": "gradients used",
    "loss": "loss",
    "grad_norm_sq": r"$\|\nabla f(x)\|^2$",
    "dist_sq": r"$\|x - x^\star\|^2$",
    "lr": "step size",
}


def style() -> None:
    """Set matplotlib's defaults for the whole session: fonts that stay legible at column width, white ground, light grid."""
    sns.set_theme(
        context="paper",
        style="whitegrid",
        palette=PALETTE,
        font_scale=1.15,
        rc={
            "figure.figsize": (6.2, 3.7),
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "axes.edgecolor": "0.3",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "grid.color": "0.9",
            "hatch.linewidth": 0.6,
            "legend.framealpha": 0.9,
            "legend.handlelength": 3.0,
            "lines.linewidth": 1.6,
            "lines.markersize": 5,
            "pdf.fonttype": 42,
        },
    )


def looks(labels: Iterable[Any]) -> dict[Any, dict[str, Any]]:
    """Colour, line style and marker for each label, in the order given; 45 labels and more before a pair repeats.

    Make it once for all methods of a notebook and pass it to every figure: then a method looks the same everywhere.
    """
    return {
        label: {
            "color": PALETTE[i % len(PALETTE)],
            "linestyle": _LINES[i % len(_LINES)],
            "marker": _MARKERS[i % len(_MARKERS)],
        }
        for i, label in enumerate(dict.fromkeys(labels))
    }


def look_of(label: Any, given: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    """The look of one label; ValueError if the caller's `looks` lacks it."""
    if label not in given:
        raise ValueError(f"looks has no entry for {label!r}; it has {', '.join(map(repr, given))}. Make it by plots.looks.")
    return given[label]


def axes(ax: Axes | None, width: float = 6.2, height: float = 3.7) -> Axes:
    """`ax`, or the axes of a new figure of this size (inches)."""
    return plt.subplots(figsize=(width, height), layout="constrained")[1] if ax is None else ax


def legend(ax: Axes) -> None:
    """A legend inside the axes, or to their right where it has more than four entries; theory comes last."""
    entries = sorted(zip(*ax.get_legend_handles_labels(), strict=True), key=lambda entry: is_theory(entry[0]))
    if entries:
        aside = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5), "frameon": False} if len(entries) > 4 else {}
        ax.legend(*zip(*entries, strict=True), **aside)


def is_theory(artist: Any) -> bool:
    """Whether `plots.prediction` drew it."""
    return isinstance(artist, Artist) and artist.get_gid() == "theory"


def caption(ax: Axes, text: str) -> None:
    """A small line above the axes, on the right, that says what lines and bands are; titles go on the left."""
    ax.set_title(text, loc="right", fontsize="small", color="0.35")


def span(numbers: Iterable[int]) -> str:
    """Whole numbers as words of a caption: `5`, or `3 to 5` where they differ."""
    least, most = min(found := list(numbers)), max(found)
    return f"{most}" if least == most else f"{least} to {most}"
