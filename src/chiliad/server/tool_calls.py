"""Functions that an answer may call: how they are told to a model, what keeps the call well-formed, how it is read back.

A call is written as Hermes and Qwen write it: JSON with `name` and `arguments` between `<tool_call>` tags. A grammar holds
the model to it, so that what begins as a call is one, with arguments that fit the function's schema.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from chiliad.engine import Grammar, GrammarKind, json_rule
from chiliad.server.errors import HttpError
from chiliad.server.wire.structure import SOURCE_CHARS_MAX, Schema
from chiliad.server.wire.tools import CalledFunction, Function, NamedTool, PastCall, Tool, ToolCall, ToolChoice

OPEN, CLOSE = "<tool_call>", "</tool_call>"

ANY_TEXT = "text: /[^<](.|\\n)*/"
"""A text that begins with `<` would be a call."""


NO_ARGUMENTS: Schema = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True)
class Toolbox:
    """The functions that an answer may call; `must`: it has to call one of them."""

    functions: tuple[Function, ...]
    must: bool

    @property
    def prompt(self) -> str:
        """What the model is told, for the system turn."""
        described = "\n".join(json.dumps(function.model_dump(exclude_none=True)) for function in self.functions)
        form = _tagged('{"name": "...", "arguments": {...}}')
        return f"You can call these functions, one to a line:\n{described}\n\nTo call one, answer only with\n{form}"

    def grammar(self, schema: Schema | None) -> Grammar:
        """A call or, unless it must be one, a text; with `schema`, JSON that fits it in the place of the text."""
        call = {"anyOf": [_call_schema(function) for function in self.functions]}
        rules = [f'call: "{OPEN}\\n" body "\\n{CLOSE}"', f"body: {json_rule(call)}"]
        if self.must:
            rules.insert(0, "start: call")
        else:
            rules.insert(0, "start: text | call")
            rules.append(ANY_TEXT if schema is None else f"text: {json_rule(schema)}")
        source = "\n".join(rules)
        if len(source) > SOURCE_CHARS_MAX:
            raise HttpError.bad_value("tools", "The functions are too long.", fix="Send fewer, or shorter schemas.")
        return Grammar(GrammarKind.LARK, source)


def toolbox(tools: Sequence[Tool] | None, choice: ToolChoice | None) -> Toolbox | None:
    """What a body's `tools` and `tool_choice` ask for. Raises HttpError (400)."""
    functions = tuple(tool.function for tool in tools or ())
    if isinstance(choice, NamedTool):
        functions = tuple(function for function in functions if function.name == choice.function.name)
        if not functions:
            cause = f"`tool_choice` names {choice.function.name!r}, which is not among the tools."
            raise HttpError.bad_value("tool_choice", cause, fix="Name one of `tools`.")
    if choice == "required" and not functions:
        raise HttpError.bad_value("tool_choice", "A call is required and there are no tools.", fix="Give `tools`.")
    if not functions or choice == "none":
        return None
    return Toolbox(functions, must=choice == "required" or isinstance(choice, NamedTool))


def begins_call(text: str) -> bool:
    """Whether an answer under a toolbox's grammar that begins like this is a call."""
    return text.startswith(OPEN[0])


def read_call(text: str) -> ToolCall | None:
    """The call that an answer makes; None for a text, and for a call that was cut short."""
    if not (text.startswith(OPEN) and text.endswith(CLOSE)):
        return None
    try:
        call = json.loads(text.removeprefix(OPEN).removesuffix(CLOSE))
    except ValueError:  # cut short within an argument, right after the end tag as a part of it
        return None
    function = CalledFunction(name=call["name"], arguments=json.dumps(call["arguments"]))
    return ToolCall(id=f"call_{uuid4().hex}", type="function", function=function)


def call_text(calls: Sequence[PastCall]) -> str:
    """Earlier calls as the model would have written them."""
    return "\n".join(
        _tagged(f'{{"name": "{call.function.name}", "arguments": {call.function.arguments or "{}"}}}') for call in calls
    )


def result_text(result: str) -> str:
    """What a function returned, for a user turn."""
    return f"<tool_response>\n{result}\n</tool_response>"


def _tagged(call: str) -> str:
    return f"{OPEN}\n{call}\n{CLOSE}"


def _call_schema(function: Function) -> Schema:
    return {
        "type": "object",
        "properties": {"name": {"const": function.name}, "arguments": function.parameters or NO_ARGUMENTS},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
