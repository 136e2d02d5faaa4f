"""A conda channel on this machine, with two packages made from the running Python: python itself and pip."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import sysconfig
import tarfile
from importlib import metadata
from pathlib import Path

# Nothing here is needed to install and import a library; leaving it out halves the package.
LEFT_OUT = {"__pycache__", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tests", "tkinter", "turtledemo"}
LEFT_OUT |= {"site-packages", "dist-packages"}


def python_files() -> dict[str, Path]:
    """Path in a prefix -> file of the running Python: interpreter and standard library."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    library = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
    files = {}
    for path in sorted(stdlib.rglob("*")):
        inside = path.relative_to(stdlib)
        unneeded = inside.parts[0].startswith("config-") or inside.name.startswith(("_test", "_xxtest"))
        if path.is_file() and not unneeded and not LEFT_OUT & set(inside.parts):
            files[f"{library}/{inside}"] = path
    for shared in Path(sys.base_prefix, "lib").glob("libpython3*.so.*"):
        files[f"lib/{shared.name}"] = shared
    return files | {"bin/python": Path(sys.executable).resolve()}


def pip_files() -> dict[str, Path]:
    """Path in a prefix -> file of the running Python's pip."""
    site = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    listed = [path for path in metadata.files("pip") if not {"..", "__pycache__"} & set(path.parts)]
    return {f"{site}/{path}": Path(path.locate()) for path in listed}


def add_package(folder: Path, name: str, version: str, depends: list[str], files: dict[str, Path]) -> dict:
    """Write name-version-0.tar.bz2 into `folder`; its record for repodata.json."""
    record = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": depends}
    record |= {"subdir": folder.name}
    listing = [
        {"_path": inside, "path_type": "hardlink", "sha256": digest(path.read_bytes()), "size_in_bytes": path.stat().st_size}
        for inside, path in files.items()
    ]
    texts = {
        "info/index.json": json.dumps(record),
        "info/paths.json": json.dumps({"paths_version": 1, "paths": listing}),
        "info/files": "\n".join(files) + "\n",
    }
    archive = folder / f"{name}-{version}-0.tar.bz2"
    with tarfile.open(archive, "w:bz2", compresslevel=1, dereference=True) as tar:
        for inside, text in texts.items():
            entry = tarfile.TarInfo(inside)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
        for inside, path in files.items():
            tar.add(path, inside, recursive=False)
    packed = archive.read_bytes()
    return {archive.name: record | {"sha256": digest(packed), "size": len(packed)}}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def build(channel: Path, subdir: str) -> str:
    """Build the channel in the folder `channel` for the platform `subdir` (such as linux-64); its address."""
    version = ".".join(map(str, sys.version_info[:3]))
    for part in (subdir, "noarch"):
        folder = channel / part
        folder.mkdir(parents=True)
        packages = {}
        if part == subdir:
            packages |= add_package(folder, "python", version, [], python_files())
            packages |= add_package(folder, "pip", metadata.version("pip"), ["python"], pip_files())
        repodata = {"info": {"subdir": part}, "packages": packages, "packages.conda": {}, "repodata_version": 1}
        (folder / "repodata.json").write_text(json.dumps(repodata))
    return channel.as_uri()
