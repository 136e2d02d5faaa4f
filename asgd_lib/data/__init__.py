"""Data sets by name: `load("digits")`. Only the full Fashion-MNIST, where it is absent, touches the network."""

from asgd_lib.arguments import guard
from asgd_lib.data import shakespeare
from asgd_lib.data.catalogue import NAMES, load

__all__ = ["NAMES", "load", "shakespeare"]

guard(__name__, costly=True)
