"""Make asgd_lib/datasets/fashion_mnist_small.npz from the full Fashion-MNIST: the same bytes on every machine.

    python scripts/embed_fashion_mnist.py [OUTPUT]

The choice: the first 600 training and the first 100 test images of each class, kept in file order. The packing: an .npz
whose members are bzip2-compressed (smaller than deflate, and no matter which zlib there is) under a fixed date.
Prints the sha256 that `asgd_lib/data/fashion_mnist.py` records as SMALL_SHA256.
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

from asgd_lib.atomic import atomic_path
from asgd_lib.data import fashion_mnist, fetch


def selection() -> dict[str, np.ndarray]:
    """The arrays of the embedded file, uint8: `X (6000, 784)`, `y (6000,)`, `X_test (1000, 784)`, `y_test (1000,)`."""
    X, y, X_test, y_test = (part.numpy() for part in fashion_mnist.full(*fetch.root()))
    train = fashion_mnist.first_of_each_class(y, fashion_mnist.PER_CLASS["train"])
    test = fashion_mnist.first_of_each_class(y_test, fashion_mnist.PER_CLASS["test"])
    return {"X": X[train], "y": y[train], "X_test": X_test[test], "y_test": y_test[test]}


def write(arrays: dict[str, np.ndarray], path: Path) -> str:
    """Write `arrays` as an .npz whose bytes depend on nothing else, whole or not at all; its sha256."""
    with atomic_path(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for key, array in arrays.items():
                member = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
                member.compress_type = zipfile.ZIP_BZIP2
                member.create_system = 3  # zipfile writes the system it runs on; the same number everywhere
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
                archive.writestr(member, buffer.getvalue())
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    return digest


def main(argv: list[str] | None = None) -> int:
    """Write the file (to OUTPUT, else to its place in the package) and print its size and sha256."""
    arguments = sys.argv[1:] if argv is None else argv
    path = Path(arguments[0]) if arguments else fashion_mnist.SMALL
    digest = write(selection(), path)
    print(f"{path}: {path.stat().st_size:,} bytes, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
