"""Fast forms of methods that users may override."""

from __future__ import annotations


def offers(thing: object, fast: str, plain: str) -> bool:
    """Whether `thing` has the method `fast`, and no subclass, nor the object itself, has changed only the `plain` one that it replaces."""
    for names in (getattr(thing, "__dict__", {}), *map(vars, type(thing).__mro__)):
        if fast in names:
            return True
        if plain in names:
            return False
    return False
