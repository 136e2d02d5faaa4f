"""`simulate` and `replay` on the shared work; evaluation is off, as it is for the others."""

import sys

import torch
from with_plain import contenders, main


def run(work, model: str, n: int, updates: int) -> None:
    work.metrics = lambda x: {"loss": torch.zeros(len(x)), "grad_norm_sq": torch.zeros(len(x))}
    contenders.replayed(work, n, updates)


if __name__ == "__main__":
    sys.exit(main(run))
