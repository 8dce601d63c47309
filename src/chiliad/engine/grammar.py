"""Answers that follow a grammar: a JSON schema, a regular expression or a Lark grammar. llguidance does the parsing."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from chiliad.base import Tokenizer
from chiliad.engine.grammar_trial import needs_trial, passes_trial
from chiliad.errors import BadRequest

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions

GRAMMARS_KEPT = 64
"""compiled grammars that are kept for the next request with the same one"""

JSON_STYLE: JsonCompileOptions = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""JSON as Python writes it, and as experts are trained on it: with free white space a small model never ends"""


class GrammarKind(StrEnum):
    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    LARK = "lark"


@dataclass(frozen=True)
class Grammar:
    """What an answer has to look like. source: the schema as JSON text, the expression, or the grammar."""

    kind: GrammarKind
    source: str


def json_rule(schema: Mapping[str, Any]) -> str:
    """A JSON schema as a Lark grammar refers to it."""
    return "%json " + json.dumps({"x-guidance": JSON_STYLE, **schema})


ANY_JSON_OBJECT = Grammar(GrammarKind.JSON_SCHEMA, '{"type": "object"}')


@dataclass(frozen=True)
class TokenMask:
    """A set of tokens, one bit each, the lowest bit of a byte first. Tokens past the end are not in it."""

    bits: bytes

    def __contains__(self, token: int) -> bool:
        return token >> 3 < len(self.bits) and bool(self.bits[token >> 3] >> (token & 7) & 1)

    def refused(self, vocab_size: int) -> Tensor:
        """[vocab_size] bool: the tokens that are not in the set."""
        refused = np.ones(vocab_size, dtype=np.bool_)
        known = np.unpackbits(np.frombuffer(self.bits, dtype=np.uint8), bitorder="little")[:vocab_size]
        refused[: len(known)] = known == 0
        return torch.from_numpy(refused)


class GrammarPath:
    """Where an answer stands in its grammar. Implements `Constraint`."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def allowed(self) -> TokenMask:
        mask = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            raise _too_complex(self._matcher.get_error())
        return TokenMask(mask)

    @property
    def forced(self) -> int | None:
        """The next token, if the grammar leaves no choice about the text that follows."""
        following = self._matcher.compute_ff_tokens()
        return following[0] if following else None

    @property
    def complete(self) -> bool:
        return bool(self._matcher.is_stopped())

    def take(self, token: int) -> None:
        """Go on with an allowed token."""
        self._matcher.consume_token(token)


class Grammars:
    """Compiles grammars for one tokenizer. May be used from any thread: one that is compiled keeps no other waiting."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._compiled: OrderedDict[Grammar, LLMatcher] = OrderedDict()
        self._known: LLTokenizer | None = None
        self._lock = threading.Lock()
        """of what is kept; never held while a grammar is compiled"""
        self._first = threading.Lock()

    def start(self, grammar: Grammar) -> GrammarPath:
        """The beginning of an answer. Raises BadRequest for a grammar that cannot be understood."""
        with self._lock:
            matcher = self._compiled.get(grammar)
        if matcher is None:
            matcher = self._compile(grammar)
        with self._lock:
            self._compiled[grammar] = matcher
            self._compiled.move_to_end(grammar)
            if len(self._compiled) > GRAMMARS_KEPT:
                self._compiled.popitem(last=False)
        return GrammarPath(matcher.deep_copy())

    def _compile(self, grammar: Grammar) -> LLMatcher:
        from llguidance import LLMatcher  # a second of work that few processes need

        try:
            source = _source(LLMatcher, grammar)
        except ValueError as error:
            raise _not_understood(grammar, str(error)) from None
        if grammar.kind is not GrammarKind.REGEX and needs_trial(grammar.source) and not passes_trial(source):
            raise _too_complex("its patterns take too long to bring together")
        matcher = LLMatcher(self._vocabulary(), source, log_level=0)
        if matcher.is_error():
            raise _not_understood(grammar, matcher.get_error())
        return matcher

    def _vocabulary(self) -> LLTokenizer:
        from llguidance import LLTokenizer

        with self._first:
            if self._known is None:
                self._known = LLTokenizer(self._tokenizer.to_json(), eos_token=sorted(self._tokenizer.eos_ids))
            return self._known


def _source(compiler: type[LLMatcher], grammar: Grammar) -> str:
    if grammar.kind is GrammarKind.JSON_SCHEMA:
        return compiler.grammar_from_json_schema(grammar.source, overrides=JSON_STYLE)
    if grammar.kind is GrammarKind.REGEX:
        return compiler.grammar_from_regex(grammar.source)
    return compiler.grammar_from_lark(grammar.source)


def _not_understood(grammar: Grammar, why: str) -> BadRequest:
    title = {GrammarKind.JSON_SCHEMA: "JSON schema", GrammarKind.REGEX: "regular expression"}.get(
        grammar.kind, "grammar"
    )
    cause = why.strip().splitlines()[0] if why.strip() else "no reason given"
    return BadRequest(f"The {title} cannot be used: {cause}", fix=f"Correct the {title}, or ask without it.")


def _too_complex(why: str) -> BadRequest:
    return BadRequest(f"The grammar became too complex: {why.strip().splitlines()[0]}.", fix="Make it simpler.")
