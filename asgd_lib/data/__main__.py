"""`python -m asgd_lib.data`: fetch what the full presets need, and say line by line what is there and whence."""

from __future__ import annotations

import sys

from asgd_lib.data import bundled, fashion_mnist


def main() -> int:
    """Print one line a data set or file; 0 if everything the full presets need is there, else 1."""
    print(f"{', '.join(bundled.SETS)}: bundled with scikit-learn")
    complete = True
    try:
        X, _, X_test, _ = fashion_mnist.small()
        print(f"fashion_mnist_small: embedded, {len(X):,} / {len(X_test):,} images")
    except (OSError, ValueError) as error:
        print(f"fashion_mnist_small: MISSING. {error}")
        complete = False
    folder, own = fashion_mnist.root()
    for name in fashion_mnist.FILES:
        try:
            _, source = fashion_mnist.file(name, folder, own)
            print(f"fashion_mnist: {name} from {source}")
        except (OSError, ValueError) as error:
            print(f"fashion_mnist: MISSING. {error}")
            return 1  # the other files would fail for the same reason, each after its own wait
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
