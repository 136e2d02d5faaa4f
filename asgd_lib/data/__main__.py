"""`python -m asgd_lib.data`: fetch what the full presets need, and say line by line what is there and whence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from asgd_lib.data import bundled, cifar10, fashion_mnist, fetch, shakespeare

OPTIONAL = {"cifar10": cifar10, "shakespeare": shakespeare}


def main(arguments: Sequence[str] = ()) -> int:
    """Print one line a data set or file; 0 if everything the full presets need is there, and what was asked for, else 1."""
    parser = argparse.ArgumentParser(prog="python -m asgd_lib.data", description="Fetch what the full presets need, and say what is there.")
    parser.add_argument("--cifar10", action="store_true", help="fetch CIFAR-10 too, from its home; no licence comes with it")
    parser.add_argument("--shakespeare", action="store_true", help="fetch a megabyte of Shakespeare too, from char-rnn's repository")
    wanted = vars(parser.parse_args(arguments))
    print(f"{', '.join(bundled.SETS)}: bundled with scikit-learn")
    complete = [embedded(), fashion(), *(optional(name, wanted[name]) for name in OPTIONAL)]
    return 0 if all(complete) else 1


def embedded() -> bool:
    """Say whether the embedded images are whole."""
    try:
        X, _, X_test, _ = fashion_mnist.small()
        print(f"fashion_mnist_small: embedded, {len(X):,} / {len(X_test):,} images")
    except (OSError, ValueError) as error:
        print(f"fashion_mnist_small: MISSING. {error}")
        return False
    return True


def optional(name: str, wanted: bool) -> bool:
    """Say whence a data set of OPTIONAL comes, after fetching it if it is `wanted`; False if it is and cannot be had."""
    try:
        _, source = OPTIONAL[name].obtain(*fetch.root(), download=wanted)
        print(f"{name}: from {source}")
    except (OSError, ValueError) as error:
        print(f"{name}: {'MISSING' if wanted else 'not here, and optional: no preset needs it'}. {error}")
        return not wanted
    return True


def fashion() -> bool:
    """Say whence the full Fashion-MNIST comes, file by file, up to the first that cannot be had."""
    folder, own = fetch.root()
    for name in fashion_mnist.FILES:
        try:
            _, source = fashion_mnist.file(name, folder, own)
            print(f"fashion_mnist: {name} from {source}")
        except (OSError, ValueError) as error:
            print(f"fashion_mnist: MISSING. {error}")
            return False  # the other files would fail for the same reason, each after its own wait
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
