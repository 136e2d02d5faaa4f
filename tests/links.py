"""Links of HTML pages: which lead nowhere."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

REFERENCES = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "srcset"}


class _Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if target := values.get(REFERENCES.get(tag, "")):
            self.targets.append(target)


def external(target: str) -> bool:
    return bool(urlsplit(target).scheme or urlsplit(target).netloc)


def broken(folder: Path) -> list[str]:
    """`page -> target` for every reference inside `folder` to a file or an anchor that is not there."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for target in page.targets:
            if external(target):
                continue
            parts = urlsplit(target)
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            inside = file.is_file() and file.is_relative_to(folder)
            if not inside or (anchor and file in pages and anchor not in pages[file].anchors):
                found.append(f"{path.relative_to(folder)} -> {target}")
    return found


def loaded_from_elsewhere(folder: Path) -> list[str]:
    """`page -> address` for every script, style sheet or picture that a page would fetch from the network."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.html"))}
    return [f"{path.relative_to(folder)} -> {target}" for path, text in pages.items() for target in _fetched(text) if external(target)]


def _fetched(text: str) -> list[str]:
    class Fetched(_Page):
        def handle_starttag(self, tag, attributes):
            values = dict(attributes)
            if tag in ("img", "script", "source") or (tag == "link" and values.get("rel") not in ("canonical",)):
                super().handle_starttag(tag, attributes)

    return [target for target in Fetched(text).targets if not target.startswith("data:")]
