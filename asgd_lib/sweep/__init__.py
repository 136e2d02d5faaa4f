"""Many runs as one call: grids with a memory on disk, and races of methods on equal terms."""

from asgd_lib.sweep.race import batches, race
from asgd_lib.sweep.run import sweep, variants

__all__ = ["sweep", "variants", "race", "batches"]
