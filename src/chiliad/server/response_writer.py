"""An answer in the shape of OpenAI's responses, whole and as a stream of events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any
from uuid import uuid4

from chiliad.engine import Completion, Delta, Finished, FinishReason
from chiliad.server.answers import Answers
from chiliad.server.service import ServedModel
from chiliad.server.tool_calls import begins_call, read_call
from chiliad.server.wire import responses as wire
from chiliad.server.wire.usage import Usage

Event = dict[str, Any]


class ResponseWriter:
    """Writes one response."""

    def __init__(self, response_id: str, model: ServedModel, body: wire.ResponsesBody, *, with_tools: bool) -> None:
        """with_tools: the answer was held to a toolbox's grammar, so it may be a call"""
        self._id = response_id
        self._created_s = int(time.time())
        self._model = model
        self._body = body
        self._with_tools = with_tools
        self._item_id = f"msg_{uuid4().hex}"
        self._numbers = count()

    def whole(self, completion: Completion, used: Usage) -> wire.Response:
        status = self._status(completion)
        usage = wire.responses_usage(
            used["prompt_tokens"], used["completion_tokens"], used["prompt_tokens_details"]["cached_tokens"]
        )
        return self._response(status, [self._item(completion)], {**usage, "cost": used["cost"]})

    async def events(self, answers: Answers) -> AsyncIterator[Event]:
        """The response as it begins, its text in pieces or its call in one, and the response as it ended."""
        for name in ("response.created", "response.in_progress"):
            yield self._event(name, response=self._response("in_progress", [], None))
        is_call: bool | None = None
        async for step in answers:
            match step.event:
                case Delta(text):
                    if text and is_call is None:
                        is_call = self._with_tools and begins_call(text)
                        for event in () if is_call else self._opened():
                            yield event
                    if text and not is_call:
                        yield self._text_event("delta", delta=text, logprobs=[])
                case Finished(completion):
                    for event in self._closed(completion, opened=is_call is False):
                        yield event
                    response = self.whole(completion, answers.bill.usage())
                    yield self._event(f"response.{response['status']}", response=response)

    def _opened(self) -> Iterator[Event]:
        """The item of a text begins."""
        yield self._added(self._message("", "in_progress"))
        yield self._part_event("added", "")

    def _closed(self, completion: Completion, *, opened: bool) -> Iterator[Event]:
        """The item ends; one that had not begun, such as a call, begins here too."""
        item = self._item(completion)
        if item["type"] == "function_call":
            arguments = {"item_id": item["id"], "output_index": 0}
            yield self._added({**item, "arguments": "", "status": "in_progress"})
            name = "response.function_call_arguments"
            yield self._event(f"{name}.delta", **arguments, delta=item["arguments"])
            yield self._event(f"{name}.done", **arguments, name=item["name"], arguments=item["arguments"])
        else:
            if not opened:
                yield from self._opened()
                yield self._text_event("delta", delta=completion.text, logprobs=[])
            yield self._text_event("done", text=completion.text, logprobs=[])
            yield self._part_event("done", completion.text)
        yield self._event("response.output_item.done", output_index=0, item=item)

    def _item(self, completion: Completion) -> wire.Output:
        call = read_call(completion.text) if self._with_tools else None
        if call is None:
            return self._message(completion.text, self._status(completion))
        return wire.OutputCall(
            type="function_call",
            id=self._item_id.replace("msg_", "fc_"),
            call_id=f"call_{self._item_id.removeprefix('msg_')}",
            name=call["function"]["name"],
            arguments=call["function"]["arguments"],
            status="completed",
        )

    def _message(self, text: str, status: wire.Status) -> wire.OutputMessage:
        content = [] if status == "in_progress" else [_part(text)]
        return wire.OutputMessage(type="message", id=self._item_id, role="assistant", status=status, content=content)

    def _status(self, completion: Completion) -> wire.Status:
        return "incomplete" if completion.finish_reason is FinishReason.LENGTH else "completed"

    def _response(
        self, status: wire.Status, output: list[wire.Output], usage: wire.ResponsesUsage | None
    ) -> wire.Response:
        body = self._body
        asked = body.model_dump(mode="json", by_alias=True, include={"tools", "tool_choice", "text"}, exclude_none=True)
        return wire.Response(
            id=self._id,
            object="response",
            created_at=self._created_s,
            model=self._model.root,
            status=status,
            error=None,
            incomplete_details={"reason": "max_output_tokens"} if status == "incomplete" else None,
            output=output,
            usage=usage,
            instructions=body.instructions,
            max_output_tokens=body.max_output_tokens,
            metadata=body.metadata or {},
            parallel_tool_calls=False,
            previous_response_id=None,
            store=False,
            temperature=body.temperature or 0.0,
            text=asked.get("text", {"format": {"type": "text"}}),
            tool_choice=asked.get("tool_choice", "auto"),
            tools=asked.get("tools", []),
            top_p=1.0 if body.top_p is None else body.top_p,
            truncation="disabled",
        )

    def _added(self, item: wire.Output) -> Event:
        return self._event("response.output_item.added", output_index=0, item=item)

    def _part_event(self, what: str, text: str) -> Event:
        at = {"item_id": self._item_id, "output_index": 0, "content_index": 0}
        return self._event(f"response.content_part.{what}", **at, part=_part(text))

    def _text_event(self, what: str, **more: Any) -> Event:
        at = {"item_id": self._item_id, "output_index": 0, "content_index": 0}
        return self._event(f"response.output_text.{what}", **at, **more)

    def _event(self, name: str, /, **content: Any) -> Event:
        return {"type": name, "sequence_number": next(self._numbers), **content}


def _part(text: str) -> wire.OutputText:
    return wire.OutputText(type="output_text", text=text, annotations=[], logprobs=[])
