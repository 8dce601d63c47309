"""A package index in a folder, with wheels made for a test."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from chiliad.base.catalog import PinnedFile


def local_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only index."""
    index = folder / "index"
    index.mkdir()
    for name, value in {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": str(index)}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return index


def pinned(index: Path, name: str, files: Mapping[str, bytes]) -> PinnedFile:
    """The first of `files` inside a new wheel `name` 1.0."""
    package = name.replace("-", "_")
    wheel, info = index / f"{package}-1.0-py3-none-any.whl", f"{package}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, content in files.items():
            archive.writestr(f"{package}/{file}", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return PinnedFile(name, "1.0", hashlib.sha256(wheel.read_bytes()).hexdigest(), f"{package}/{next(iter(files))}")
