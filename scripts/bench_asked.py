"""What the benchmark's numbers had to reach, thresholds that were set before anything was measured, beside what they are."""

from __future__ import annotations

from collections.abc import Iterator

REPLAYS = {"quadratic d=100, noisy": 8.0, "softmax, digits": 3.0, "softmax 784-10": 3.0, "MLP 784-128-10": 2.0}  # at n = 100; else 1
SWEEPS = {"quadratic d=100, noisy": 20.0, "softmax, digits": 5.0}
ONE_BY_ONE = {"softmax, digits": 2.0}
DUDE = 1.2
SIMULATE_SECONDS = 10.0
IMPORT_SECONDS = 2.0


def asked(result: dict, served: list[dict] | None = None) -> Iterator[tuple[str, str, str, bool]]:
    """What, threshold, measured, met: one row each, from the numbers of `bench` and of `bench_serve`."""
    for row in result["replay"]:
        ratio, least = row["plain_us"] / row["replay_us"], REPLAYS.get(row["workload"], 1.0) if row["n"] == 100 else 1.0
        yield f"replay, {row['workload']}, n = {row['n']:,}: against the plain loop", f">= {least:.0f}x", f"{ratio:.2f}x", ratio >= least
    for row in result["replay"]:
        if row["workload"].startswith("MLP") and row["n"] == 100:
            share = row["limit_us"] / row["replay_us"]
            yield "replay of the MLP, n = 100: share of the gradients' limit", ">= 70%", f"{share:.1%}", share >= 0.7
    for row in result["memory"]:
        if row["workload"].startswith("MLP"):
            mine, other = row["replay_mb"], row["plain_mb"]
            yield "replay of the MLP, n = 1,000: peak memory", "below the plain loop's", f"{mine:,.0f} of {other:,.0f} MB", mine < other
    for row in result["sweep"]:
        for other, limits, words in (("plain_us", SWEEPS, "the plain loop"), ("one_us", ONE_BY_ONE, "our runs one by one")):
            if row["workload"] in limits:
                ratio, least = row[other] / row["sweep_us"], limits[row["workload"]]
                yield f"sweep of {row['runs']}, {row['workload']}: against {words}", f">= {least:.0f}x", f"{ratio:.1f}x", ratio >= least
    for row in result["dude"]:
        ratio = row["dude_us"] / row["asgd_us"]
        yield f"DuDe, n = {row['n']:,}: an update's time over ASGD's", f"<= {DUDE}", f"{ratio:.2f}", ratio <= DUDE
    cost = {row["n"]: row["dude_us"] for row in result["dude"]}
    growth = cost[max(cost)] / cost[min(cost)]
    yield f"DuDe: an update at n = {max(cost):,} over one at n = {min(cost)}", f"<= {DUDE}", f"{growth:.2f}", growth <= DUDE
    for row in result["simulate"]:
        if row["n"] == 1000:
            seconds = row["seconds"] / row["arrivals"] * 1e6
            yield "simulate, n = 1,000: a million arrivals", f"< {SIMULATE_SECONDS:.0f} s", f"{seconds:.1f} s", seconds < SIMULATE_SECONDS
    for row in result["imports"]:
        seconds = row["seconds"]
        yield f"imports without torchvision: {row['what']}", f"< {IMPORT_SECONDS:.0f} s", f"{seconds:.3f} s", seconds < IMPORT_SECONDS
    for row in served or ():
        if row["workers"] == 2:
            yield f"serve, two workers, {row['workload']}: against the plain server", ">= 1.0x", f"{row['ratio']:.2f}x", row["ratio"] >= 1.0
