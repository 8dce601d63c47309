"""What the documentation says is true: its links, its commands, its names, its versions."""

import ast
import importlib
import importlib.util
import itertools
import json
import pkgutil
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import typer

import chiliad
from chiliad.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md") for page in ROOT.glob(pattern) if page.is_file()
)
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SHELLS = {"bash", "sh", "shell", "console"}


def of_pages(collect):
    """(page, thing) for everything that `collect` finds in a page, shown by name in a test's id."""
    found = [(page, thing) for page in PAGES for thing in collect(page.read_text("utf-8"))]
    return [pytest.param(page, thing, id=f"{page.relative_to(ROOT)}:{str(thing)[:60]}") for page, thing in found]


def links(text):
    return [link for link in LINK.findall(FENCE.sub("", text)) if not re.match(r"\w+:", link)]


def blocks(language):
    return lambda text: [code for name, code in FENCE.findall(text) if name == language]


def shell_lines(text):
    """Every simple command of the shell blocks, as words."""
    code = "".join(code for name, code in FENCE.findall(text) if name in SHELLS).replace("\\\n", " ")
    words = (shlex.split(line.removeprefix("$ "), comments=True) for line in code.splitlines())
    return [command for line in words for command in simple_commands(line)]


def simple_commands(words):
    """Cut at what joins commands, and drop the variables set before one."""
    cuts = [-1, *(i for i, word in enumerate(words) if word in {"|", "&&", "||", ";", "&", ">"}), len(words)]
    for start, end in itertools.pairwise(cuts):
        command = words[start + 1 : end]
        while command and re.match(r"[A-Z_]+=", command[0]):
            command = command[1:]
        if command:
            yield command


def chiliad_commands(text):
    return [tuple(command[1:]) for command in shell_lines(text) if command[0] == "chiliad"]


def chiliad_mentions(text):
    """Commands in running text: `chiliad experts list|show` stands for two."""
    spans = [span.split() for span in SPAN.findall(FENCE.sub("", text)) if span.startswith("chiliad ")]
    return [tuple(words[1:]) for words in spans]


def make_targets(text):
    return [word for command in shell_lines(text) if command[0] == "make" for word in command[1:] if "=" not in word]


def source_files(text):
    return [span for span in SPAN.findall(FENCE.sub("", text)) if re.fullmatch(r"[\w./-]+/\w+\.py", span)]


@pytest.mark.parametrize(("page", "link"), of_pages(links))
def test_a_link_leads_somewhere(page, link):
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    assert target.exists(), f"{link} of {page.relative_to(ROOT)} does not exist"
    if anchor:
        headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", target.read_text("utf-8")), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "words"), of_pages(chiliad_commands))
def test_a_command_that_is_shown_is_understood(page, words):
    command, arguments = resolve(words)
    with command.make_context("chiliad", list(arguments)):
        pass


@pytest.mark.parametrize(("page", "words"), of_pages(chiliad_mentions))
def test_a_command_that_is_mentioned_exists(page, words):
    for number in range(max(word.count("|") for word in words) + 1):
        command, arguments = resolve([word.split("|")[min(number, word.count("|"))] for word in words])
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        unknown = {word for word in arguments if word.startswith("-")} - options - {"--help"}
        assert not unknown, f"{page.relative_to(ROOT)} mentions options that {' '.join(words)} has not"


def resolve(words):
    """The command that these words begin with, and the words after it."""
    command, rest = typer.main.get_command(app), list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"there is no command {rest[0]!r} of {sorted(command.commands)}"
        command = command.commands[rest.pop(0)]
    return command, rest


@pytest.mark.parametrize(("page", "target"), of_pages(make_targets))
def test_a_make_target_that_is_shown_exists(page, target):
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("page", "code"), of_pages(blocks("python")))
def test_python_that_is_shown_is_python(page, code):
    compile(code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize(("page", "file"), of_pages(source_files))
def test_a_source_file_that_is_named_exists(page, file):
    assert any((folder / file).is_file() for folder in (ROOT, ROOT / "src", ROOT / "src" / "chiliad", page.parent))


def test_the_readme_is_short_and_nothing_is_left_to_fill_in():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150
    for page in PAGES:
        assert not re.findall(r"\b(?:TODO|TBD|FIXME|XXX|[A-Z]+_TABLE)\b", page.read_text("utf-8")), page


def test_the_version_is_the_same_everywhere():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] == chiliad.__version__
    assert re.search(rf"^## {re.escape(chiliad.__version__)}\b", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)


PACKAGES = ["chiliad", *(found.name for found in pkgutil.walk_packages(chiliad.__path__, "chiliad.") if found.ispkg)]


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_true(package):
    module = importlib.import_module(package)
    names = getattr(module, "__all__", [])
    assert len(set(names)) == len(names)
    assert not [name for name in names if not hasattr(module, name)]
    assert module.__doc__


def test_every_package_that_others_import_from_says_what_is_public():
    silent = [package for package in PACKAGES if not hasattr(importlib.import_module(package), "__all__")]
    assert all(not public_names(importlib.import_module(package)) for package in silent)


def public_names(module):
    """What a package's own file defines or re-exports from Chiliad."""
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    return [
        node for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign)
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("chiliad"))
    ]  # fmt: skip


def test_the_page_of_results_says_what_the_runs_gave():
    spec = importlib.util.spec_from_file_location("quality", ROOT / "benchmarks" / "quality.py")
    assert spec is not None
    assert spec.loader is not None
    quality = importlib.util.module_from_spec(spec)
    sys.modules["quality"] = quality
    spec.loader.exec_module(quality)
    assert quality.PAGE.read_text() == quality.page(json.loads(quality.RESULTS.read_text()))
