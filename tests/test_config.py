"""Settings from a file and the environment: numbers, whether answers are kept, and the names of hosted models."""

import pytest

from chiliad.base import DEFAULT_BASE
from chiliad.config import HOSTED_MODELS, Precision, Settings
from chiliad.embeddings import MiniLM
from chiliad.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("gpt-4o-mini-2024-07-18", DEFAULT_BASE),
        ("gpt-3.5-turbo", DEFAULT_BASE),
        ("o3-mini", DEFAULT_BASE),
        ("text-embedding-3-large", MiniLM.id),
        ("claude", None),
        ("orders", None),
    ],
)
def test_old_names_find_what_answers_here(name, answers):
    assert Settings.load(environ={}).hosted(name) == answers


def test_every_name_leads_to_something_that_chiliad_has():
    assert set(HOSTED_MODELS.values()) == {DEFAULT_BASE, MiniLM.id}


def test_a_table_of_ones_own_replaces_the_names(tmp_path):
    file = tmp_path / "chiliad.toml"
    file.write_text('[hosted_models]\n"gpt-4*" = "large"\n"gpt-*" = "small"\n')
    settings = Settings.load(file, environ={})
    assert [settings.hosted(name) for name in ("gpt-4o", "gpt-3.5-turbo", "o1")] == ["large", "small", None]


@pytest.mark.parametrize("text", ["hosted_models = 3\n", "[hosted_models]\na = 3\n"])
def test_a_table_of_something_else_is_refused(tmp_path, text):
    file = tmp_path / "chiliad.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="hosted_models"):
        Settings.load(file, environ={})


@pytest.mark.parametrize("source", ["file", "environment"])
def test_what_may_be_none_can_be_turned_off(tmp_path, source):
    file = tmp_path / "chiliad.toml"
    file.write_text("[engine]\nprefix_cache_bytes = 0\n" if source == "file" else "")
    environ = {"CHILIAD_ENGINE__PREFIX_CACHE_BYTES": "0"} if source == "environment" else {}
    assert Settings.load(file, environ=environ).engine.prefix_cache_bytes == 0


@pytest.mark.parametrize(("setting", "least"), [("engine__prefix_cache_bytes", 0), ("engine__batch_max", 1)])
def test_a_number_that_is_too_small_is_told_with_the_least(setting, least):
    with pytest.raises(ConfigError, match=f"at least {least}"):
        Settings.load(environ={f"CHILIAD_{setting.upper()}": str(least - 1)})


def test_answers_are_not_kept_unless_somebody_says_so(tmp_path):
    file = tmp_path / "chiliad.toml"
    file.write_text("[answers]\nkeep = true\n")
    assert not Settings.load(environ={}).answers.keep
    assert Settings.load(file, environ={}).answers.keep
    assert not Settings.load(file, environ={"CHILIAD_ANSWERS__KEEP": "false"}).answers.keep
    with pytest.raises(ConfigError, match=r"answers\.keep"):
        Settings.load(environ={"CHILIAD_ANSWERS__KEEP": "perhaps"})


def test_a_precision_is_one_of_three():
    assert Settings.load(environ={"CHILIAD_ENGINE__PRECISION": "int4"}).engine.precision is Precision.INT4
    with pytest.raises(ConfigError, match=r"engine\.precision cannot be 'fp8'.*bf16, int8, int4"):
        Settings.load(environ={"CHILIAD_ENGINE__PRECISION": "fp8"})
