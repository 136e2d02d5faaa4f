"""`torchrun --nproc-per-node 5 -m asgd_lib.serve --problem softmax:digits --method dude --lr 0.05 --arrivals 2000 --folder runs/dude`

One process is the server, all others are workers; without torchrun, `--workers 4` starts them on this machine. README, "Real
processes", has the commands for several machines.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext

from asgd_lib.interruption import ends_at_once

INTERRUPTED = "asgd_lib.serve: interrupted; --resume goes on where a --folder remembers the run."
with ends_at_once(INTERRUPTED) if __name__ == "__main__" else nullcontext():  # torch takes seconds to import; a session has more to lose
    import argparse
    import os
    import types
    from collections.abc import Sequence

    from asgd_lib import specs
    from asgd_lib.distributed.run import serve
    from asgd_lib.distributed.torchrun import place


def parser(prog: str) -> argparse.ArgumentParser:
    """What the command takes, under the name by which it was called."""
    known = specs.defaults(serve)
    made = argparse.ArgumentParser(prog=prog, description="A real run: one server, and a process for every worker.")
    add = made.add_argument
    add("--problem", required=True, help="KIND:DATA, as in softmax:digits, or MODULE:FUNCTION, a function of the number of workers")
    add("--method", required=True, help="a name of the table of methods, or path/to/file.py:Name")
    add("--lr", type=float, required=True, help="step size")
    add("--set", nargs="*", action="extend", default=[], metavar="KEY=VALUE", help="further hyperparameters of the method")
    add("--arrivals", type=int, required=True, help="gradients to process, those before a resumption included")
    add("--workers", type=int, help="processes to start here; torchrun knows the number itself")
    add("--batch", type=int, default=specs.BATCH, help="samples a gradient")
    add("--alpha", type=float, help="split the data by Dirichlet(alpha); without it, evenly")
    add("--cluster", help="inject worker times: KIND:NUMBERS, as in Exponential:0.02 (asgd list names all kinds)")
    add("--seed", type=int, default=known["seed"], help="of the injected times and of what is random in a gradient")
    add("--folder", help="where journal, checkpoint and trace go")
    add("--resume", action="store_true", help="go on with the run in that folder; so does every process that torchrun restarts")
    add("--checkpoint-every", type=float, default=known["checkpoint_every"], help="seconds")
    add("--timeout", type=float, default=known["timeout"], help="seconds without an arrival, or without a server, after which to stop")
    return made


def main(arguments: Sequence[str] | None = None, prog: str = "python -m asgd_lib.serve") -> int:
    """Run what the arguments say, and print one line; 1, with a sentence, where it cannot be run."""
    given = parser(prog).parse_args(arguments)
    name = prog.removeprefix("python -m ")
    try:
        here = place()
        n = here.size - 1 if here is not None else given.workers
        if n is None:
            raise ValueError("Say how many workers to start, --workers 4, or start the processes with torchrun.")
        served = serve(
            specs.problem(given.problem, n, batch=given.batch, alpha=given.alpha, seed=given.seed),
            specs.method(given.method, given.lr, given.set),
            arrivals=given.arrivals,
            cluster=None if given.cluster is None else specs.cluster(given.cluster, n),
            seed=given.seed,
            folder=given.folder,
            resume=given.resume or (here is not None and here.attempt != "0" and given.folder is not None),
            checkpoint_every=given.checkpoint_every,
            timeout=given.timeout,
            meta={"problem": specs.spelt(given.problem, given.batch, given.alpha)},
        )
    except (ValueError, TypeError, OSError, RuntimeError) as error:  # TimeoutError and ConnectionError are OSErrors
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTED}\n")  # in one piece: several processes may say it
        return 130
    if served is not None:
        rate, share = len(served.trace) / max(served.trace.end[-1], 1e-9), served.busy / max(served.seconds, 1e-9)
        print(f"{served.trace}: {served.trace.end[-1]:.2f} s, {rate:.0f} arrivals/s, the server busy for {share:.0%} of the time")
    return 0


class _Callable(types.ModuleType):
    """`asgd_lib.serve(...)` is the function also where somebody has imported this module, whose name hides it."""

    def __call__(self, *arguments, **keywords):
        return serve(*arguments, **keywords)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code) if "RANK" in os.environ else sys.exit(code)  # threads on links to frozen workers never end
