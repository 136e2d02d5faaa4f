"""Many runs as one call: grids with a memory on disk, and races of methods on equal terms.

The package can be called: `asgd.sweep(methods, clusters, problems, ...)` is `asgd_lib.sweep.sweep`.
"""

import sys
from types import ModuleType

from asgd_lib.arguments import guard
from asgd_lib.sweep.race import batches, race
from asgd_lib.sweep.run import sweep, variants

__all__ = ["sweep", "variants", "race", "batches"]

guard(__name__, costly=True)


class _Callable(ModuleType):
    __call__ = staticmethod(sweep)


sys.modules[__name__].__class__ = _Callable
