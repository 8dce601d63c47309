"""Chat templates: the same text from the same messages as `transformers` gives, in a sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from chiliad.errors import BadRequest

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}"
    "{% set system = messages[0]['content'] + '\n\n' if messages[0]['role'] == 'system' else '' %}"
    "{% for message in messages if message['role'] != 'system' %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\n' }}"
    "{{ (system if loop.first else '') + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
# For base models that come without a template and without the tokens of the two above.
PLAIN = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)


def fallback(is_token: Callable[[str], bool]) -> str:
    """The template of a base model that comes without one: turns in the tokens that it has."""
    if is_token("<|im_start|>"):
        return CHATML
    return GEMMA if is_token("<start_of_turn>") else PLAIN


class ChatTemplate:
    """A Jinja chat template. Rendering is pure: messages in, text out; the template can touch nothing else."""

    def __init__(self, source: str, *, bos_token: str | None, eos_token: str | None) -> None:
        self.source = source
        self.bos_token = bos_token
        self.eos_token = eos_token

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """The prompt text for `messages`. Raises `BadRequest` when the template refuses them or cannot be run."""
        special = {"bos_token": self.bos_token, "eos_token": self.eos_token}
        self.check()
        try:
            return self._compiled.render(
                messages=[_with_reasoning(_plain(message)) for message in messages],
                tools=_plain(tools),
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **{name: token for name, token in special.items() if token is not None},
            )
        except (
            jinja2.TemplateError,
            TypeError,
            ValueError,
            LookupError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise BadRequest(
                f"The chat template of this base model does not accept these messages: {error}.",
                fix="Give every message a role (system, user or assistant, in an order the template knows) and a text.",
            ) from None

    def check(self) -> None:
        """Raises `BadRequest` when the template is not valid Jinja."""
        try:
            _ = self._compiled
        except jinja2.TemplateSyntaxError as error:
            raise BadRequest(
                f"The chat template of this base model has an error in line {error.lineno}: {error.message}.",
                fix="Correct the template where the base model comes from and pull it again.",
            ) from None

    @cached_property
    def _compiled(self) -> jinja2.Template:
        return _environment().from_string(self.source)


def compact_template(template: ChatTemplate) -> ChatTemplate:
    """For ChatML templates the same turns without a default system message; any other template unchanged.

    A default system message costs tokens in every prompt and tells a trained expert nothing.
    """
    if "<|im_start|>" not in template.source:
        return template
    return ChatTemplate(CHATML, bos_token=template.bos_token, eos_token=template.eos_token)


def _environment() -> ImmutableSandboxedEnvironment:
    """The environment that `transformers.utils.chat_template_utils` compiles templates in."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["dict"] = _TemplateDict()
    environment.globals["namespace"] = _TemplateNamespace
    return environment


class _GenerationBlock(Extension):
    """`{% generation %}...{% endgeneration %}` marks the assistant's words for training; the text is unchanged."""

    tags = {"generation"}  # noqa: RUF012 (the attribute's type is fixed by jinja2)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_unchanged"), [], [], body).set_lineno(line)

    def _unchanged(self, caller: Callable[[], str]) -> str:
        return caller()


class _TemplateDict:
    """`dict(...)` without the class behind it, which would lead out of the sandbox."""

    def __call__(self, *args: Any, **values: Any) -> dict[Any, Any]:
        return dict(*args, **values)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _TemplateNamespace(Namespace):
    """`namespace(...)` that holds no underscored names, which would lead out of the sandbox."""

    def __init__(*args: Any, **values: Any) -> None:  # `self` stays free as a name inside the namespace
        attributes = dict(*args[1:], **values)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(args[0], attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace in a chat template cannot hold the name {name!r}")


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON: Jinja's own filter escapes the characters of HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _plain(value: Any) -> Any:
    """`value` rebuilt from plain JSON types, so that a template can reach no method of a caller's object."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return f"<{type(value).__name__}>"


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """The message with its reasoning under each name that templates read it by."""
    reasoning = next(
        (message[key] for key in ("reasoning_content", "thinking", "reasoning") if message.get(key) is not None), None
    )
    return message if reasoning is None else {"thinking": reasoning, **message, "reasoning_content": reasoning}
