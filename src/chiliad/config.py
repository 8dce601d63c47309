"""One frozen tree of settings. A flag wins over the environment, the environment over the file, the file over the default.

The file is `chiliad.toml` in the working folder; environment variables are `CHILIAD_` plus the setting's path in capitals,
with `__` between levels (`CHILIAD_ENGINE__BATCH_MAX=32`). An unknown key is an error that names the nearest one.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from chiliad.errors import ConfigError

ENV_PREFIX = "CHILIAD_"
ENV_ALIASES = {"CACHE": "cache_dir"}
ENV_RESERVED = {"DATA", "API_KEY", "NATIVE"}  # read elsewhere: benchmark data, the server's key, which kernels compute
FROM_ZERO = {"at_least": 0}
"""metadata of a whole number that may be 0; the others begin at 1"""


class Precision(StrEnum):
    """How many bits each number of a base's matrices has while the engine answers; less is faster and less exact."""

    BF16 = "bf16"
    INT8 = "int8"
    INT4 = "int4"


@dataclass(frozen=True)
class EngineSettings:
    precision: Precision = Precision.BF16
    """of the base's matrices; adapters, keys and values are always bf16, and so are all computations of training"""
    batch_max: int = 64
    """sequences in one step"""
    context_max: int = 2048
    """tokens of one sequence, prompt and answer together"""
    prefill_tokens_max: int = 2048
    """prompt tokens taken into one step"""
    queue_max: int = 1024
    """requests waiting; one more is refused as Overloaded. The last quarter is for keys of which nothing waits"""
    kv_cache_bytes: int = 2 << 30
    """keys and values of running sequences, enough for one of `context_max` tokens at least; when they are full, the
    sequence that can wait best gives its place up and is computed again later"""
    adapter_cache_bytes: int = 1 << 30
    """adapters kept in memory"""
    prefix_cache_bytes: int = field(default=256 << 20, metadata=FROM_ZERO)
    """keys and values kept for prompts that begin as earlier ones did; 0: none"""


@dataclass(frozen=True)
class ServerSettings:
    host: str = "127.0.0.1"
    port: int = 8321
    body_bytes_max: int = 10 << 20
    body_seconds_max: int = 30
    """how long a request's body may take to arrive"""
    finish_seconds_max: int = field(default=10, metadata=FROM_ZERO)
    """how long answers that are under way may go on after the server was told to stop"""
    upload_bytes_max: int = 512 << 20
    """of one file that is sent to /v1/files"""
    upload_seconds_max: int = 600
    """how long that file may take to arrive"""
    adapter_folder: Path | None = None
    """what /v1/load_lora_adapter may load is in here; without it nothing is loaded"""
    organization: str = "local"
    """the third part of the name of a fine-tuned model: ft:BASE:ORGANIZATION:SUFFIX:ID"""


@dataclass(frozen=True)
class WorkerSettings:
    threads: int | None = None
    """compute threads of background jobs; defaults to half of those that serve"""
    lease_s: int = 30
    """a job whose worker is silent for so long is given to another one"""


HOSTED_MODELS: Mapping[str, str] = {
    "gpt-*": "smollm2-135m-q4_1",
    "chatgpt-*": "smollm2-135m-q4_1",
    "o[134]*": "smollm2-135m-q4_1",
    "babbage-002": "smollm2-135m-q4_1",
    "davinci-002": "smollm2-135m-q4_1",
    "text-embedding-*": "all-minilm-l6-v2",
}
"""what answers here to the names of hosted models, so that old code needs one changed URL; the first that fits counts"""


@dataclass(frozen=True)
class PriceSettings:
    """What the machine costs. The defaults describe an ordinary desktop computer, and are nothing but assumptions."""

    currency: str = "USD"
    machine_per_hour: float | None = None
    """rent, with power; the purchase, life and power below are not used then"""
    machine_purchase: float = 800.0
    machine_life_years: float = 4.0
    power_watts: float = 65.0
    power_per_kwh: float = 0.25
    idle_share: float = 0.5
    """the part of its time in which the machine answers nothing, which those who ask pay for too"""

    def __post_init__(self) -> None:
        if self.idle_share >= 1:
            raise ConfigError("prices.idle_share leaves no time to work in.", fix="Give a share below 1, such as 0.5.")
        if self.machine_life_years == 0:
            raise ConfigError("prices.machine_life_years is no life.", fix="Give the years until it is replaced.")


@dataclass(frozen=True)
class ElsewhereSettings:
    """What the same answers take elsewhere, which the ledger compares with. The defaults are nothing but assumptions."""

    person_per_hour: float = 25.0
    """what an hour of a person costs who would answer instead, in the currency of the prices"""
    person_seconds: float = 60.0
    """what that person takes for one answer"""
    hosted_wait_seconds: float = 0.6
    """what a hosted model takes to begin an answer, with the way there and back"""
    hosted_tokens_per_second: float = 80.0
    """how fast it goes on then"""

    def __post_init__(self) -> None:
        if self.hosted_tokens_per_second == 0:
            raise ConfigError(
                "elsewhere.hosted_tokens_per_second is no speed.", fix="Give how many come in a second, such as 80."
            )


@dataclass(frozen=True)
class AnswerSettings:
    """Whether answers are kept together with what was asked, so that people can correct them."""

    keep: bool = False
    """those of every chat; without it only those whose request says `"store": true`"""
    retention_days: int = 30
    """how long; what somebody has decided to learn from stays until it is deleted"""


@dataclass(frozen=True)
class CopilotSettings:
    """What one query on a database of the workspace may take, and how often an expert may try one."""

    query_seconds_max: float = 5.0
    query_steps_max: int = 50_000_000
    """instructions of SQLite's virtual machine"""
    query_rows_max: int = 200
    query_bytes_max: int = 1 << 20
    """of the rows together"""
    tries_max: int = 3
    """the first query, and those that mend it"""


def _user_cache() -> Path:
    from platformdirs import user_cache_path

    return Path(user_cache_path("chiliad"))


@dataclass(frozen=True)
class Settings:
    workspace: Path = Path("ws")
    cache_dir: Path = field(default_factory=_user_cache)
    database_url: str | None = field(default=None, repr=False)
    """`postgresql://user:password@host/name`, a database for this workspace alone; defaults to SQLite inside it"""
    threads: int | None = None
    """compute threads; defaults to the number of cores"""
    hosted_models: Mapping[str, str] = field(default_factory=lambda: HOSTED_MODELS)
    """names or patterns of hosted models and the base here that answers to them; a table of yours replaces this one"""
    engine: EngineSettings = field(default_factory=EngineSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    prices: PriceSettings = field(default_factory=PriceSettings)
    elsewhere: ElsewhereSettings = field(default_factory=ElsewhereSettings)
    answers: AnswerSettings = field(default_factory=AnswerSettings)
    copilot: CopilotSettings = field(default_factory=CopilotSettings)

    def hosted(self, model: str) -> str | None:
        """What answers here to the name of a hosted model; None if it is the name of none."""
        patterns = self.hosted_models
        return next((patterns[pattern] for pattern in patterns if fnmatchcase(model, pattern)), None)

    @classmethod
    def load(cls, file: Path | None = None, environ: Mapping[str, str] | None = None, **flags: Any) -> Settings:
        """Build the tree. `flags` with the value None count as not given. Raises ConfigError."""
        path = file or Path("chiliad.toml")
        tree: dict[str, Any] = _read(path) if file or path.exists() else {}
        _merge(tree, _from_environment(os.environ if environ is None else environ))
        _merge(tree, {key: value for key, value in flags.items() if value is not None})
        settings: Settings = _build(cls, tree, "")
        return settings


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error}.", fix="Mend or remove it.") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in sorted(environ.items(), reverse=True):  # ENGINE__BATCH_MAX before ENGINE, which is then refused
        key = name.removeprefix(ENV_PREFIX)
        if key == name or key in ENV_RESERVED:
            continue
        node, *rest = ENV_ALIASES.get(key, key.lower()).split("__")
        branch = tree
        for step in rest:
            branch = branch.setdefault(node, {})
            node = step
        branch[node] = value
    return tree


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = dict(value) if isinstance(value, Mapping) else value


def _build(cls: Any, tree: Mapping[str, Any], path: str) -> Any:
    hints = get_type_hints(cls)
    least = {one.name: one.metadata.get("at_least", 1) for one in dataclasses.fields(cls)}
    values = {}
    for key, value in tree.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f"Did you mean {path}{near[0]}?" if near else f"Known settings: {', '.join(sorted(hints))}."
            raise ConfigError(f"There is no setting {path}{key}.", fix=hint)
        values[key] = _convert(hints[key], value, f"{path}{key}", at_least=least[key])
    return cls(**values)


def _convert(kind: Any, value: Any, path: str, *, at_least: int) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{path} is a group of settings.", fix=f"Write it as a table [{path}].")
        return _build(kind, value, f"{path}.")
    if get_origin(kind) is Mapping:
        return _texts(value, path)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _choice(kind, value, path)
    try:
        if kind in (Path, Path | None):
            return Path(value).expanduser()
        if kind is bool:
            return _flag(value)
        if kind in (int, int | None):
            return _whole(value, at_least)
        if kind in (float, float | None):
            return _amount(value)
        return str(value)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: ~nobody has no home
        raise ConfigError(
            f"{path} = {value!r} is not usable: {error}.", fix="Give a value of the right kind."
        ) from error


def _choice(kind: type[StrEnum], value: Any, path: str) -> StrEnum:
    if value not in list(kind):
        raise ConfigError(f"{path} cannot be {value!r}.", fix=f"Choose one of {', '.join(kind)}.")
    return kind(value)


def _texts(value: Any, path: str) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise ConfigError(
            f"{path} is a table of texts.", fix=f'Write it as a table [{path}] with lines "name" = "text".'
        )
    return dict(value)


def _whole(value: Any, at_least: int) -> int:
    """Raises ValueError, TypeError."""
    if isinstance(value, bool | float):
        raise ValueError("it is no whole number")
    number = int(value)
    if number < at_least:
        raise ValueError(f"it must be at least {at_least}")
    return number


def _flag(value: Any) -> bool:
    """The environment has only texts. Raises ValueError."""
    told = str(value).lower()
    if told not in ("true", "false"):
        raise ValueError("it must be true or false")
    return told == "true"


def _amount(value: Any) -> float:
    """Raises ValueError, TypeError."""
    if isinstance(value, bool):
        raise ValueError("it is no number")
    amount = float(value)
    if not 0 <= amount < float("inf"):
        raise ValueError("it must be 0 or more")
    return amount
