"""Settings for all tests: one torch thread a process, and examples by hypothesis that are the same in every run."""

import signal
import urllib.error

import pytest
import torch
from hypothesis import settings

from asgd_lib.data import __main__ as data_command
from asgd_lib.data import fetch

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores Ctrl-C, and what tests start would inherit that
torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=30)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items):
    """Slow tests first: begun last, one of them would keep a single process waiting."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def no_network(monkeypatch):
    """urlopen fails as on a machine without a network; the list of the URLs that were asked for."""
    asked = []

    def refuse(url, **_):
        asked.append(url)
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(fetch.urllib.request, "urlopen", refuse)
    return asked


@pytest.fixture
def rest_is_here(monkeypatch):
    """The command that fetches data finds Fashion-MNIST in its place."""
    monkeypatch.setattr(data_command, "fashion", lambda: True)


@pytest.fixture
def house_style():
    """The project's style for a test, and no figure left open."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from asgd_lib import plots

    with plt.rc_context():
        plots.style()
        yield
        plt.close("all")
