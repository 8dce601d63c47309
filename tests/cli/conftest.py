"""The whole command on a small machine: in this process where that is enough, in one of its own where it is not."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from chiliad.cli import main
from chiliad.config import Settings

FAST = ("--base", "tiny", "--rank", "2", "--epochs", "1", "--no-baselines")
"""options of a training that takes a second"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int | str | None
    out: str
    err: str

    def refused(self, cause: str, *, code: int = 1) -> None:
        """It said in two lines what is wrong (matching `cause`) and what to do, and nothing of a traceback."""
        assert self.code == code, self.err
        assert "Traceback" not in self.err
        error, fix = self.err.rstrip().splitlines()[-2:]
        assert re.match(rf"Error: .*(?:{cause})", error), error
        assert re.match(r"  Fix: \S.{8,}", fix), fix
        assert sum(line.startswith("Error:") for line in self.err.splitlines()) == 1


Command = Callable[..., Ended]


@pytest.fixture
def chiliad(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run the command in this process, in `tmp_path`, with the workspace `ws` there."""
    monkeypatch.setenv("CHILIAD_CACHE", str(settings.cache_dir))
    monkeypatch.setenv("CHILIAD_THREADS", "1")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return Ended(end.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def _trained(_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from chiliad.workspace import Workspace
    from tests.tiny import QUICK, write_table

    folder = tmp_path_factory.mktemp("trained")
    table = write_table(folder / "tickets.csv")
    with Workspace.open(Settings.load(environ={}, workspace=folder / "ws", cache_dir=_cache, threads=1)) as workspace:
        assert workspace.train("tickets", table, base="tiny", options=QUICK).refusal is None
    return folder / "ws"


@pytest.fixture
def live(_trained: Path, settings: Settings) -> Path:
    """A workspace in which `tickets@1` is live."""
    return Path(shutil.copytree(_trained, settings.workspace))


def process(*arguments: object, before: tuple[str, ...] = (), **options: object) -> Ended:
    """Run the command in a process of its own."""
    command = [*before, sys.executable, "-m", "chiliad", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    return Ended(done.returncode, done.stdout, done.stderr)


def contents(folder: Path) -> dict[str, str]:
    """Every file under a folder by its hash; the database, being an index, and locks aside."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("chiliad.db", ".lock"))
    }
