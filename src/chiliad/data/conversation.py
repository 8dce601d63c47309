"""Conversations as the OpenAI chat format writes them: {"messages": [{"role": ..., "content": ...}, ...]}."""

from __future__ import annotations

import json
from typing import Any

from chiliad.data.example import Message
from chiliad.data.table import cell_text

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


def split_conversation(value: Any) -> tuple[tuple[Message, ...], str]:
    """Return the turns before the last assistant turn, and that turn's text, which is the answer.

    `value` is the list of messages or its JSON text. Turns after the last assistant turn are left out. Raises
    ValueError that says which message is wrong.
    """
    turns = [_turn(message, number) for number, message in enumerate(messages_of(value), start=1)]
    answers = [place for place, turn in enumerate(turns) if turn.role == "assistant"]
    if not answers:
        raise ValueError("the conversation has no assistant message, which would be the answer")
    return tuple(turns[: answers[-1]]), turns[answers[-1]].content


def messages_of(value: Any) -> list[Any]:
    """The messages of a conversation as it stands in a row: a list, or JSON for one. Raises ValueError."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the messages are broken JSON ({error})") from error
    if not isinstance(value, list) or not value:
        raise ValueError("the messages are not a list of at least one message")
    return value


def _turn(message: Any, number: int) -> Message:
    if not isinstance(message, dict):
        raise ValueError(f"message {number} is not an object with a role and content")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise ValueError(f"message {number} has the role {role!r}; known are {', '.join(_ROLES)}")
    if message.get("tool_calls") or message.get("function_call"):
        raise ValueError(f"message {number} calls a tool; experts learn from text only")
    return Message(_ROLES[role], _content(message.get("content"), number).strip())


def _content(content: Any, number: int) -> str:
    """Text as it is; of a list of content parts the text parts, which must be all of them."""
    if not isinstance(content, list):
        return cell_text(content)
    if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        raise ValueError(f"message {number} has parts that are not text")
    return "".join(cell_text(part.get("text")) for part in content)
