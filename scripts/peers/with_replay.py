"""`simulate` and `replay` on the shared work; evaluation is off, as it is for the others."""

import sys

from with_plain import contenders, main


def run(work, model: str, n: int, updates: int) -> None:
    contenders.replayed(contenders.unevaluated(work), n, updates)


if __name__ == "__main__":
    sys.exit(main(run))
