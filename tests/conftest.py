"""Settings for all tests: one torch thread a process, and examples by hypothesis that are the same in every run."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=30)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items):
    """Slow tests first: begun last, one of them would keep a single process waiting."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
