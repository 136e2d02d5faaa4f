"""Build the site into site/: `make site`. Needs no network; any warning stops it, and an earlier site/ then stays as it was."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import site_sources
from notebook_kernel import ROOT


def build(target: Path) -> int:
    """Build all pages into the folder `target`, which is replaced if it is there; sphinx's exit code."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".site-", dir=target.parent) as scratch:
        sources, pages, doctrees = (Path(scratch) / name for name in ("sources", "pages", "doctrees"))
        sources.mkdir()
        site_sources.gather(sources)
        options = ["-b", "html", "-c", str(ROOT / "docs"), "-d", str(doctrees), "--fail-on-warning", "--keep-going", "--quiet"]
        done = subprocess.run([sys.executable, "-m", "sphinx", *options, str(sources), str(pages)], check=False)
        if done.returncode == 0:
            for leftover in (pages / ".buildinfo", pages / "objects.inv"):
                leftover.unlink(missing_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            pages.rename(target)
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, default=ROOT / "site", help="folder for the pages (default: site)")
    target = parser.parse_args().target.resolve()
    if target.exists() and not (target / "index.html").is_file():
        print(f"{target} exists and is no site: name another folder by --target, or remove it.", file=sys.stderr)
        return 2
    try:
        code = build(target)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if code == 0:
        print(f"Open {target / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
