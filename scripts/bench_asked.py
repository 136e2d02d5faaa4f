"""What the benchmark's numbers had to reach, thresholds that were set before anything was measured, beside what they are."""

from __future__ import annotations

from collections.abc import Iterator

SWEEPS = {"quadratic d=100, noisy": 20.0, "softmax, digits": 5.0, "MLP 784-128-10": 2.0}
DUDE = 1.2
SIMULATE_SECONDS = 10.0
IMPORT_SECONDS = 2.0


def asked(result: dict, served: list[dict] | None = None) -> Iterator[tuple[str, str, str, bool]]:
    """What, threshold, measured, met: one row each, from the numbers of `bench` and of `bench_serve`."""
    for row in result["replay"]:
        if row["workload"].startswith("MLP") and row["n"] == 100:
            share = row["limit_us"] / row["replay_us"]
            yield "replay of the MLP, n = 100: share of the gradients' limit", ">= 70%", f"{share:.0%}", share >= 0.7
        if row["workload"].startswith("CNN"):
            ratio = row["plain_us"] / row["replay_us"]
            yield f"replay of the CNN, n = {row['n']:,}: against the plain loop", ">= 1.0x", f"{ratio:.2f}x", ratio >= 1.0
    for row in result["sweep"]:
        ratio, least = row["plain_us"] / row["sweep_us"], SWEEPS[row["workload"]]
        yield f"sweep of {row['runs']}, {row['workload']}: against the plain loop", f">= {least:.0f}x", f"{ratio:.1f}x", ratio >= least
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
