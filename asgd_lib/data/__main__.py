"""`python -m asgd_lib.data`: fetch what the full presets need, and say line by line what is there and whence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from asgd_lib.data import bundled, cifar10, fashion_mnist


def main(arguments: Sequence[str] = ()) -> int:
    """Print one line a data set or file; 0 if everything the full presets need is there, and CIFAR-10 if it was asked for, else 1."""
    parser = argparse.ArgumentParser(prog="python -m asgd_lib.data", description="Fetch what the full presets need, and say what is there.")
    parser.add_argument("--cifar10", action="store_true", help="fetch CIFAR-10 too, from its home; no licence comes with it")
    wanted = parser.parse_args(arguments).cifar10
    print(f"{', '.join(bundled.SETS)}: bundled with scikit-learn")
    complete = [embedded(), fashion()]
    try:
        _, source = cifar10.obtain(*fashion_mnist.root(), download=wanted)
        print(f"cifar10: from {source}")
    except (OSError, ValueError) as error:
        print(f"cifar10: {'MISSING' if wanted else 'not here, and optional: no preset needs it'}. {error}")
        complete.append(not wanted)
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


def fashion() -> bool:
    """Say whence the full Fashion-MNIST comes, file by file, up to the first that cannot be had."""
    folder, own = fashion_mnist.root()
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
