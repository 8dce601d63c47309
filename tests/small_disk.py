"""A real disk that is really full soon."""

import shutil
import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of one megabyte; skips where this user may not mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a small filesystem")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
