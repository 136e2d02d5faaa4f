"""The plain loop of `scripts/contenders.py` on the shared work."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
import contenders  # noqa: E402
from task import BATCH, SAMPLES, given, measured, network, part, samples  # noqa: E402

import asgd_lib as asgd  # noqa: E402


def problem(model: str, n: int) -> asgd.problems.Problem:
    """Our problem on the shared samples, dealt out as to the peers."""
    X, y = samples()
    kind = asgd.problems.Softmax if model.startswith("softmax") else asgd.problems.MLP
    return kind(X, y, [part(w, n) for w in range(n)], batch=BATCH)


def main(run=lambda work, model, n, updates: contenders.plain_loop(work, network(model), n, updates)) -> None:
    model, n, updates = given()
    work = problem(model, n)
    assert len(work.X) == SAMPLES
    run(work, model, n, 1)  # imports the rest of the library, which is loaded piece by piece
    measured("asgd_lib", updates, lambda: run(work, model, n, updates))


if __name__ == "__main__":
    sys.exit(main())
