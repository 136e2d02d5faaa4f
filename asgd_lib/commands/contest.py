"""`asgd contest`: a method of one's own through conformance, and then among those of the table."""

from __future__ import annotations

import math
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import click
import pandas as pd

from asgd_lib import specs
from asgd_lib.atomic import atomic_path, save_table
from asgd_lib.commands.checking import conforms, explains_method
from asgd_lib.commands.options import SETTINGS
from asgd_lib.comparison import LEFT_OUT, PROBLEMS, Entry, compare, entries, profiles, scenarios
from asgd_lib.comparison.standing import others_alike, place, standing
from asgd_lib.comparison.suite import Scenario
from asgd_lib.locks import alone
from asgd_lib.methods import METHODS
from asgd_lib.results import UNDATED

N = 10  # workers
CLUSTERS, SPLITS = ("equal", "straggler", "heavy tail", "drop-outs"), ("iid", "one class")
LRS = tuple(2.0**power for power in range(-12, 4))  # as in notebook 10
TUNING, SEEDS = (1000, 1001), (0, 1, 2, 3, 4)
LIMITS = f"""What this does not show. There is one draw of the data and one trace a scenario, so intervals are over gradient noise alone;
{N} workers, a small problem, {len(TUNING)} seeds to tune and {len(SEEDS)} to judge are a first look (notebook 10 has more). Only
step sizes are tuned, all other hyperparameters are defaults or given. The best other is the luckiest of many on the very seeds
that judge it: a ratio a little above 1 may be no difference."""

_NOTE = [
    "rank, seconds (simulated, to the target) and `of best` compare medians over seeds, as the figure and the counts below do; the last",
    "column is a geometric mean over seeds, paired, with a 95 % interval, against the least median of the others that arrive with all.",
]


@explains_method
@click.command()
@click.argument("methods", metavar="METHOD...", nargs=-1, required=True)
@click.option(
    "--against",
    multiple=True,
    help="A rival from the table of methods; may be repeated. Without it, all but those in asgd_lib.comparison.LEFT_OUT.",
)
@click.option("--problem", default="quadratic", show_default=True, type=click.Choice(list(PROBLEMS)), help="What is minimised.")
@click.option("--out", default="results/compare", show_default=True, type=click.Path(file_okay=False, path_type=Path), help="Folder.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--processes/--no-processes", default=True, help="Check it on real processes as well; takes some seconds.")
@SETTINGS
def contest(
    methods: tuple[str, ...], against: tuple[str, ...], problem: str, out: Path, jobs: int, processes: bool, settings: tuple[str, ...]
) -> None:
    """Check METHOD..., then compare them with the table's methods on clusters and splits; the exit code is 1 if a check fails.

    All are tuned on the same step sizes, the powers of 2 from 2^-12 to 8, with two seeds, and judged with five others; --set is for
    METHOD... alone. OUT/cache remembers what is computed.
    """
    own = [Entry(make(lr=0.1).label, make) for make in specs.makers(methods, settings)]
    names = [entry.name for entry in own]
    rivals = entries(N, [specs.row(name).name for name in against] or None)
    rivals = [entry for entry in rivals if entry.name not in names]
    if not all([conforms(entry.name, entry.make, processes) for entry in own]):
        sys.exit(1)
    click.echo(f"\nComparing {_field(rivals, bool(against))} and yours ({', '.join(names)}):", err=True)
    places = scenarios(N, problems=[problem], splits=SPLITS, clusters=CLUSTERS)
    folders = {name: out / (name if problem == "quadratic" else f"{name}-{problem}") for name in names}
    with ExitStack() as ours:
        for folder in folders.values():
            ours.enter_context(alone(folder))
        table = _compared([*rivals, *own], places, out, jobs)
        for name, folder in folders.items():
            click.echo(f"\n{_what(places)}\n{_said(table, name)}")
            click.echo(f"wrote {', '.join(_written(table, name, folder))} to {folder}", err=True)
    click.echo(f"\n{LIMITS}")


def _field(rivals: list[Entry], chosen: bool) -> str:
    """Who the others are, and who is not among them."""
    if chosen:
        return ", ".join(entry.name for entry in rivals)
    without = "; ".join(f"{name}: {why}" for name, why in LEFT_OUT.items())
    return f"{len(rivals)} of the table's {len(METHODS)} methods (without {without})"


def _compared(contestants: list[Entry], places: list[Scenario], out: Path, jobs: int) -> pd.DataFrame:
    """The table of `compare`, with a line when as many scenarios are done as are computed side by side."""
    parts, began = [], time.monotonic()
    step = max(1, jobs if jobs > 0 else len(places))  # joblib: -1 is all cores
    for done in range(0, len(places), step):
        now = places[done : done + step]
        parts.append(compare(contestants, now, LRS, tuning_seeds=TUNING, seeds=SEEDS, cache=out / "cache", jobs=jobs))
        told = ", ".join(" / ".join(place.key) for place in now)
        click.echo(f"  {done + len(now)} of {len(places)} scenarios after {time.monotonic() - began:.0f} s: {told}", err=True)
    return pd.concat(parts, ignore_index=True)


def _what(places: list[Scenario]) -> str:
    """What is measured, in a line."""
    ends = " or ".join(dict.fromkeys(f"{place.target:.3g}" for place in places))
    one = places[0]
    return f"{one.problem_name}, {N} workers: seconds until the {one.metric} is {ends} and stays there; iid or one class a worker"


def _said(table: pd.DataFrame, name: str) -> str:
    """The standing as text: a line a scenario, then where the method is near the best and where it fails."""
    rows, count = standing(table, name), table["method"].nunique()
    lines = [f"{'split':11}{'cluster':12}{'rank':>9}{'seconds':>9}{'of best':>9}{'step size':>11}   paired, over the best other"]
    for row in rows.itertuples():
        rank = f"{row.rank:.0f} of {count}" if math.isfinite(row.rank) else "-"
        step = f"{row.lr:.2g}{' edge' if row.edge else ''}"
        head = f"{row.split:11}{row.cluster:12}{rank:>9}{row.seconds:>9.4g}{f'{row.over_best:.2f}':>9}{step:>11}   "
        lines.append(head + _against(row, count, table))
    lines += _NOTE
    better, sharing, near = place(table, name)
    alike = f"{sharing - 1 or 'no'} other{'s are' if sharing != 2 else ' is'} so in as many"
    ahead = f"{better - 1 or 'nobody'} {'is' if better < 3 else 'are'} so in more"
    share = f"{round(near * len(rows))} of {len(rows)} scenarios"
    one = profiles.wins_and_failures(table, [name]).iloc[0]
    lines += [
        f"{name} is within a factor of 2 of the best in {share}; {ahead}, {alike}.",
        f"Near the best (a factor of 1.25): {one['near the best']}. Fails: {one['fails']}.",
    ]
    return "\n".join(lines)


def _against(row, count: int, table: pd.DataFrame) -> str:
    if math.isfinite(row.ratio):
        return f"{row.ratio:.2f} ({row.low:.2f} to {row.high:.2f}) of {row.rival}"
    here = f"{row.arrived} of {len(SEEDS)} seeds arrive"
    if row.outcome != "reached":
        fate = "levelled off above the target" if row.outcome == "levelled off" else row.outcome
        alike = others_alike(table, row)
        here += f", most are {fate}" + (f", as {alike} of the {count - 1} others" if alike else "")
    if row.rival_arrived == len(SEEDS):
        return f"{here}; {row.rival} arrives with all"
    if 2 * row.rival_arrived <= len(SEEDS):
        return f"{here}; nobody else arrives with more than half"
    return f"{here}; nobody else arrives with all, and {row.rival}, the best of them by its median, with {row.rival_arrived}"


def _written(table: pd.DataFrame, name: str, out: Path) -> list[str]:
    """Write the whole table and the figure; the names of the files."""
    import matplotlib

    matplotlib.use("Agg")
    from asgd_lib.plots import style
    from asgd_lib.plots.standing import standing as drawn

    save_table(table, out / "comparison.parquet")
    style()
    ratios = profiles.ratios(profiles.seconds(table))
    ax = drawn(ratios, name, [" / ".join(key[1:]) for key in ratios.index])
    for kind, metadata in UNDATED.items():
        with atomic_path(out / f"comparison.{kind}") as temporary:
            ax.figure.savefig(temporary, format=kind, dpi=150, metadata=metadata)
    return ["comparison.parquet", *(f"comparison.{kind}" for kind in UNDATED)]
