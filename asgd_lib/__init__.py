"""Asynchronous SGD under heterogeneous data and speeds: methods, clusters, traces, and the replay that compares them.

Three verbs share one joint, the trace: `simulate(cluster, method)` makes one, `replay(trace, method, problem)` computes along it.
Names are loaded when first used, so that importing a small part stays fast.
"""

from importlib import import_module

_MODULES = (
    "claims",
    "clusters",
    "conformance",
    "data",
    "history",
    "intervals",
    "methods",
    "parameters",
    "partition",
    "plots",
    "policies",
    "problems",
    "provenance",
    "results",
    "rng",
    "rules",
    "sweep",
    "theory",
    "trace",
    "tuning",
    "verdicts",
)
_NAMES = {
    "METHODS": "methods",
    "Method": "methods",
    "Row": "methods",
    "load_method": "user_method",
    "Target": "target",
    "Trace": "trace",
    "Claim": "claims",
    "simulate": "simulator",
    "replay": "replayer",
    "plateau_schedule": "adaptive",
    "serve": "distributed.run",
}

__version__ = "0.1.0"
__all__ = [*_MODULES, *_NAMES, "__version__"]


def __getattr__(name: str):
    if name in _NAMES:
        value = getattr(import_module(f"asgd_lib.{_NAMES[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"asgd_lib.{name}")
    else:
        raise AttributeError(f"asgd_lib has no attribute {name!r}; it has {', '.join(__all__)}.")
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
