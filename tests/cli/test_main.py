"""The command as a whole: its help, its exit codes, its settings, what it says when it fails, and what it loads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import chiliad as package
from chiliad.cli.main import app
from chiliad.workspace import Workspace
from tests.cli.conftest import process
from tests.tiny import write_table

HEAVY = ("torch", "numpy", "sklearn", "fastapi", "sqlalchemy", "transformers", "pandas", "pyarrow", "uvicorn",
         "rich")  # fmt: skip


def all_commands(command=None, path=()):
    command = command or typer.main.get_command(app)
    yield path, command
    for name, child in sorted(getattr(command, "commands", {}).items()):
        yield from all_commands(child, (*path, name))


@pytest.mark.parametrize(("path", "command"), [pytest.param(*one, id=" ".join(one[0])) for one in all_commands()])
def test_every_command_and_option_explains_itself(chiliad, path, command):
    shown = chiliad(*path, "--help")
    assert shown.code == 0
    assert shown.err == ""
    assert command.help
    assert command.help.split()[0] in shown.out
    silent = [one.name for one in command.params if one.name not in ("name", "help") and not getattr(one, "help", None)]
    assert not silent, f"{' '.join(path)} does not explain {silent}"


def test_every_command_that_prints_facts_has_json_for_programs():
    people_only = {"base pull", "base remove", "experts promote", "experts rollback", "experts delete",
                   "experts import", "databases add", "databases remove", "review purge", "serve", "worker"}  # fmt: skip
    leaves = {" ".join(path): command for path, command in all_commands() if not hasattr(command, "commands")}
    without = {name for name, command in leaves.items() if "--json" not in {o for p in command.params for o in p.opts}}
    assert without == people_only


def test_the_version(chiliad):
    assert chiliad("--version").out == f"{package.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("bogus",), "No such command 'bogus'"),
        (("--bogus",), "No such option: --bogus"),
        (("train", "tickets"), "Invalid value: Give NAME and --data FILE"),
        (("ask", "tickets"), "Missing argument 'text'"),
        (("ask", "a", "b", "c"), "unexpected extra argument"),
        (("train", "tickets", "--data", "x.csv", "--rank", "0"), "'--rank'.*greater than or equal to 1"),
        (("train", "tickets", "--data", "x.csv", "--rank", "100000"), "'--rank'.*less than or equal to 256"),
        (("train", "tickets", "--data"), "'--data' requires an argument"),
        (("experts", "list", "--jsn"), "No such option: --jsn .*--json"),
        (("experts", "export", "tickets", "--out", "x", "--format", "zip"), "'zip' is not one of"),
        (("serve", "--port", "99999"), "'--port'"),
        (("serve", "--port", "many"), "'--port'"),
    ],
)
def test_wrong_use_is_told_as_cause_and_fix_and_does_nothing(chiliad, tmp_path, arguments, cause):
    ended = chiliad(*arguments)
    ended.refused(cause, code=2)
    assert ended.out == ""
    assert "--help" in ended.err
    assert not (tmp_path / "ws").exists()


def test_a_value_that_does_not_fit_is_told_with_what_the_option_is_for(chiliad):
    assert "'--rank' is: Rank" in chiliad("train", "tickets", "--data", "x.csv", "--rank", "0").err


@pytest.mark.parametrize("path", [(), ("experts",), ("data",), ("base",)])
def test_a_noun_without_a_command_shows_its_help_and_fails(chiliad, path):
    ended = chiliad(*path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == chiliad(*path, "--help").out


def test_the_help_tells_of_each_command_in_whole_words(chiliad):
    assert "make it live if it is not worse" in " ".join(chiliad("--help").out.split())


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"engin = 3", r"no setting engin\b"),
        (b"[engine]\nbatch_maximum = 2", r"no setting engine\.batch_maximum"),
        (b"engine = 3", "engine is a group of settings"),
        (b"[engine]\nbatch_max = 'many'", r"engine\.batch_max = 'many'"),
        (b"[engine]\nqueue_max = 0", "at least 1"),
        (b"[engine]\nqueue_max = 2.5", "no whole number"),
        (b"[engine]\nqueue_max = true", "no whole number"),
        (b"workspace = 3", "workspace = 3"),
        (b"workspace = '~nobody-is-called-so/ws'", "workspace = '~nobody"),
        (b"x =", "cannot be read"),
        (b"\xff", "cannot be read"),
    ],
)
def test_a_bad_settings_file_is_named_with_its_mistake(chiliad, tmp_path, content, cause):
    (tmp_path / "chiliad.toml").write_bytes(content)
    chiliad("experts", "list").refused(cause, code=2)
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize(
    ("name", "value", "cause", "code"),
    [
        ("CHILIAD_CACH", "x", "no setting cach", 2),
        ("CHILIAD_ENGINE__BATCH_MAX", "many", "engine.batch_max = 'many'", 2),
        ("CHILIAD_ENGINE", "3", "engine is a group of settings", 2),
        ("CHILIAD_DATABASE_URL", "mysql://host/db", "not the URL of a SQLite file or", 1),
    ],
)
def test_a_bad_variable_is_named_with_its_mistake(chiliad, live, monkeypatch, name, value, cause, code):
    monkeypatch.setenv(name, value)
    chiliad("experts", "list").refused(cause, code=code)


def test_a_group_and_one_of_its_settings_as_variables_are_told_apart(chiliad, monkeypatch):
    monkeypatch.setenv("CHILIAD_ENGINE", "3")
    monkeypatch.setenv("CHILIAD_ENGINE__BATCH_MAX", "8")
    chiliad("experts", "list").refused("engine is a group of settings", code=2)


def test_a_mistake_of_ours_is_told_without_a_traceback_that_is_kept_in_a_file(chiliad, live, monkeypatch, tmp_path):
    def fail(*_):
        raise KeyError("no such thing")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(Workspace, "open", fail)
    failed = chiliad("ask", "tickets", "hello")
    failed.refused("KeyError: 'no such thing'", code=70)
    (kept,) = tmp_path.glob("chiliad-error-*.txt")
    assert str(kept) in failed.err
    assert "in fail\n" in kept.read_text()


def test_a_terminal_that_lacks_a_character_shows_something_else(tmp_path):
    table = write_table(tmp_path / "tickets.csv")
    shown = process("data", "check", table, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert shown.code == 0, shown.err
    assert "input: text ? answer: label" in shown.out


def loaded(code):
    """Which heavy packages a fresh Python has loaded after running `code`."""
    script = f"import sys\n{code}\nprint([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return json.loads(done.stderr.splitlines()[-1].replace("'", '"'))


def test_importing_the_package_loads_nothing_heavy():
    assert loaded("import chiliad; chiliad.open") == []


def test_the_help_of_every_command_loads_nothing_heavy():
    """`rich` among it: drawing boxes took longer than all the rest."""
    helps = [[*path, "--help"] for path, _ in all_commands()]
    script = f"""
from chiliad.cli import main
for arguments in {helps!r}:
    try:
        main(arguments)
    except SystemExit as end:
        assert end.code == 0, arguments
"""
    assert loaded(script) == []


def test_the_installed_command_and_the_module_are_the_same():
    assert process("--version").out == f"{package.__version__}\n"
    assert "chiliad.cli:main" in (Path(__file__).parents[2] / "pyproject.toml").read_text()
