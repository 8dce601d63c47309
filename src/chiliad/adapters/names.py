"""What PEFT calls the modules of a decoder, in configurations and as parts of tensors' names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from chiliad.errors import BrokenAdapter

ATTENTION_SITES = frozenset({"q_proj", "k_proj", "v_proj", "o_proj"})


def module_name(layer: int, site: str) -> str:
    block = "self_attn" if site in ATTENTION_SITES else "mlp"
    return f"base_model.model.model.layers.{layer}.{block}.{site}"


def module_pattern(rest: str) -> re.Pattern[str]:
    """Groups 1 and 2 are layer and site; `rest` is a pattern for what follows the module's name."""
    return re.compile(rf"^base_model\.model\.model\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.{rest}$")


def targets_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """`target_modules`, which may be one name or several."""
    targets = config.get("target_modules") or ()
    return (targets,) if isinstance(targets, str) else tuple(sorted(targets))


def refuse_options(config: Mapping[str, Any], plain: Iterable[tuple[str, Any]], folder: Path) -> None:
    """Raises BrokenAdapter when an option has another value than the plain one."""
    for option, value in plain:
        if config.get(option, value) not in (value, None, [], {}):
            raise BrokenAdapter(
                f"{folder} uses PEFT's option {option}={config[option]!r}.",
                fix="Train it again without that option, or merge it into its base and pull the result as a base.",
            )


def no_such_module(name: str, folder: Path) -> BrokenAdapter:
    return BrokenAdapter(
        f"{folder} adapts {name}, which is not a linear layer of a decoder block.",
        fix="Train it on q, k, v, o, gate, up and down projections only.",
    )
