"""`asgd contest`: a method of one's own through conformance, and then among those of the table."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click
import pandas as pd

from asgd_lib import specs
from asgd_lib.atomic import atomic_path
from asgd_lib.commands.checking import conforms
from asgd_lib.commands.options import METHOD
from asgd_lib.comparison import PROBLEMS, Entry, compare, entries, profiles, scenarios
from asgd_lib.comparison.standing import place, standing

N = 10  # workers
CLUSTERS, SPLITS = ("equal", "straggler", "heavy tail", "drop-outs"), ("iid", "one class")
LRS = tuple(2.0**power for power in range(-10, 4))  # as in notebook 10
TUNING, SEEDS = (1000, 1001), (0, 1, 2, 3, 4)
LIMITS = f"""What this does not show. There is one draw of the data and one trace a scenario, so intervals are over gradient noise
alone; {N} workers and a small problem are a first look (notebook 10 has more). Only step sizes are tuned, all other hyperparameters are
defaults. The best other is the luckiest of many on the very seeds that judge it, so a ratio a little above 1 may be no difference."""


@click.command()
@click.argument("methods", metavar="METHOD...", nargs=-1, required=True)
@click.option("--against", multiple=True, help="A rival from the table of methods; may be repeated. Without it, the whole table.")
@click.option("--problem", default="quadratic", show_default=True, type=click.Choice(list(PROBLEMS)), help="What is minimised.")
@click.option("--out", default="results/compare", show_default=True, type=click.Path(file_okay=False, path_type=Path), help="Folder.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--processes/--no-processes", default=True, help="Check it on real processes as well; takes some seconds.")
def contest(methods: tuple[str, ...], against: tuple[str, ...], problem: str, out: Path, jobs: int, processes: bool) -> None:
    """Check METHOD..., then compare them with the table's methods on clusters and splits; the exit code is 1 if a check fails.

    All are tuned on the same step sizes and judged on other seeds. What is computed is remembered in OUT/cache.
    """
    rows = [specs.row(name) for name in methods]
    rivals = [name for name in (against or [entry.name for entry in entries(N)]) if name not in [row.name for row in rows]]
    if not all([conforms(name, processes) for name in methods]):
        sys.exit(1)
    contestants = [*entries(N, [specs.row(name).name for name in rivals]), *(Entry(row.name, row) for row in rows)]
    places = scenarios(N, problems=[problem], splits=SPLITS, clusters=CLUSTERS)
    click.echo(f"\nComparing {len(contestants)} methods in {len(places)} scenarios with {len(LRS)} step sizes each ...", err=True)
    table = compare(contestants, places, LRS, tuning_seeds=TUNING, seeds=SEEDS, cache=out / "cache", jobs=jobs)
    for row in rows:
        click.echo(f"\n{_said(table, row.name)}")
        click.echo(f"wrote {', '.join(_written(table, row.name, out / row.name))} to {out / row.name}", err=True)
    click.echo(f"\n{LIMITS}")


contest.help += f"\n\nMETHOD: {METHOD[0].lower()}{METHOD[1:]}."


def _said(table: pd.DataFrame, name: str) -> str:
    """The standing as text: a line a scenario, then where the method is near the best and where it fails."""
    rows, count = standing(table, name), table["method"].nunique()
    lines = [f"{'split':11}{'cluster':12}{'rank':>9}{'seconds':>9}{'step size':>11}   time to target over that of the best other"]
    for row in rows.itertuples():
        rank = f"{row.rank:.0f} of {count}" if math.isfinite(row.rank) else "-"
        step = f"{row.lr:.2g}{' edge' if row.edge else ''}"
        head = f"{row.split:11}{row.cluster:12}{rank:>9}{row.seconds:>9.4g}{step:>11}   "
        lines.append(head + _against(row))
    where, sharing, near = place(table, name)
    shared = f", shared by {sharing}" if sharing > 1 else ""
    one = profiles.wins_and_failures(table, [name]).iloc[0]
    lines += [
        f"{name} is within a factor of 2 of the best in {near:.0%} of the scenarios: place {where} of {count}{shared}.",
        f"Near the best (a factor of 1.25): {one['near the best']}. Fails: {one['fails']}.",
    ]
    return "\n".join(lines)


def _against(row) -> str:
    if math.isfinite(row.ratio):
        return f"{row.ratio:.2f} ({row.low:.2f} to {row.high:.2f}) of {row.rival}"
    here = f"{row.arrived} of {len(SEEDS)} seeds arrive" + (f", most are {row.outcome}" if row.outcome != "reached" else "")
    return f"{here}; {row.rival} arrives with all" if math.isinf(row.ratio) else f"{here}; nobody else arrives with all"


def _written(table: pd.DataFrame, name: str, out: Path) -> list[str]:
    """Write the whole table and the figure; the names of the files."""
    import matplotlib

    matplotlib.use("Agg")
    from asgd_lib.plots import style
    from asgd_lib.plots.standing import standing as drawn

    with atomic_path(out / "comparison.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    style()
    ratios = profiles.ratios(profiles.seconds(table))
    ax = drawn(ratios, name, [" / ".join(key[1:]) for key in ratios.index])
    for kind in ("png", "pdf"):
        with atomic_path(out / f"comparison.{kind}") as temporary:
            ax.figure.savefig(temporary, format=kind, dpi=150)
    return sorted(path.name for path in out.iterdir())
