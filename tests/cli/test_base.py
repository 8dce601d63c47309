from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from chiliad.cli.base import app
from chiliad.errors import BaseNotFound, BrokenBase
from tests.base.tiny import write_gguf


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHILIAD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def gguf(tmp_path: Path) -> str:
    return str(write_gguf(tmp_path / "tiny.gguf"))


def chiliad_base(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_pull_list_show_remove(gguf: str) -> None:
    assert "No base models yet" in chiliad_base("list").stdout
    pulled = chiliad_base("pull", gguf, "--name", "mine")
    assert pulled.exit_code == 0
    assert "mine is ready" in pulled.stdout
    assert "Note: GGUF file (F32), dequantised to bf16." in pulled.stdout
    assert "mine" in chiliad_base("list").stdout
    shown = chiliad_base("show", "mine", "--verify")
    assert "the fingerprint is the same" in shown.stdout
    assert f"source        file:{gguf}" in shown.stdout
    assert chiliad_base("remove", "mine").stdout == "Removed mine.\n"
    assert json.loads(chiliad_base("list", "--json").stdout) == []


def test_json_is_for_programs(gguf: str) -> None:
    chiliad_base("pull", gguf)
    (listed,) = json.loads(chiliad_base("list", "--json").stdout)
    shown = json.loads(chiliad_base("show", "tiny", "--json", "--verify").stdout)
    assert shown.pop("config")["model_type"] == "llama"
    assert shown == listed
    assert listed["id"] == "tiny"
    assert listed["bytes"] > 100_000


def test_a_damaged_base_is_listed_with_its_problem(gguf: str, tmp_path: Path) -> None:
    chiliad_base("pull", gguf, "--name", "good")
    chiliad_base("pull", gguf, "--name", "bad")
    (tmp_path / "cache" / "bases" / "bad" / "model.safetensors").write_bytes(b"")
    bad, good = json.loads(chiliad_base("list", "--json").stdout)
    assert "chiliad base remove bad" in bad["problem"]
    assert good["id"] == "good"
    assert "not the ones that were pulled" in " ".join(chiliad_base("list").stdout.split())
    assert isinstance(chiliad_base("show", "bad").exception, BrokenBase)


def test_what_is_not_there_is_an_error() -> None:
    for command in (("show", "nothing"), ("remove", "nothing"), ("pull", "nothing")):
        result = chiliad_base(*command)
        assert result.exit_code != 0
        assert isinstance(result.exception, BaseNotFound)
