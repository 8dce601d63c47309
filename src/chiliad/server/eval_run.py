"""Doing a run of an eval: every row is answered if need be, and graded. What is done stays done when the worker dies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

from pydantic import TypeAdapter

from chiliad.errors import ChiliadError, StoreError
from chiliad.evals.item_template import look_up
from chiliad.server.eval_rows import rows_of
from chiliad.server.grading import Grader, messages, sampled
from chiliad.server.inside import Inside, some_at_once
from chiliad.server.wire.criteria import Criterion
from chiliad.server.wire.evals import Completions, Responses, Row, Sampled, Source, TemplateMessages
from chiliad.store import Document, EvalItem, ItemStatus, Job
from chiliad.workspace import Workspace

_CRITERIA: TypeAdapter[list[Criterion]] = TypeAdapter(list[Criterion])
_SOURCE: TypeAdapter[Source] = TypeAdapter(Source)


@contextmanager
def do_eval_run(workspace: Workspace, job: Job) -> Iterator[Document]:
    """Answer and grade what is not done yet; the whole result."""
    source = _SOURCE.validate_python(job.document["data_source"])
    criteria = _CRITERIA.validate_python(job.document["testing_criteria"])
    rows = rows_of(workspace.files, source)
    try:
        asyncio.run(_do(workspace, job, source, criteria, rows))
    finally:
        workspace.rest()
    items = workspace.evals.items(job.id, limit=None)
    yield {"criteria": _by_criterion(criteria, items), "usage": _usage(items, isinstance(source, Sampled))}


async def _do(
    workspace: Workspace, job: Job, source: Source, criteria: Sequence[Criterion], rows: Sequence[Row]
) -> None:
    done = {item.number for item in workspace.evals.items(job.id, limit=None)}
    open_rows = [(number, row) for number, row in enumerate(rows) if number not in done]
    with workspace.reporter as reporter:
        reporter.stage("items", len(done), len(rows))
        async with Inside(workspace, job.document["submitter"]) as inside:
            grader = Grader(inside, lambda: workspace.embedder)
            asked = (_item(inside, grader, source, criteria, number, row) for number, row in open_rows)
            async with aclosing(some_at_once(asked)) as answered:
                async for items in answered:
                    workspace.evals.put_items(job.id, items)
                    done.update(number for number, *_ in items)
                    reporter.stage("items", len(done), len(rows))


async def _item(
    inside: Inside, grader: Grader, source: Source, criteria: Sequence[Criterion], number: int, row: Row
) -> tuple[int, ItemStatus, Document]:
    """One row answered and graded; what goes wrong with it is told in it, and the run goes on. Raises StoreError."""
    sample: Mapping[str, Any] = row.sample or {}
    grades: list[dict[str, Any]] = []
    try:
        if isinstance(source, Sampled):
            sample = await _answered(inside, source, row)
        values = {"item": row.item, "sample": sample}
        for criterion in criteria:
            grades.append((await grader.grade(criterion, values)).to_json())
    except StoreError:
        raise
    except ChiliadError as error:
        told = {"code": error.code, "message": str(error)}
        return number, ItemStatus.ERRORED, {"item": row.item, "sample": {**sample, "error": told}, "results": grades}
    status = ItemStatus.PASSED if all(grade["passed"] for grade in grades) else ItemStatus.FAILED
    return number, status, {"item": row.item, "sample": dict(sample), "results": grades}


async def _answered(inside: Inside, source: Completions | Responses, row: Row) -> dict[str, Any]:
    values = {"item": row.item}
    asked = source.input_messages
    turns = (
        messages(asked.template, values)
        if isinstance(asked, TemplateMessages)
        else look_up(asked.item_reference, values)
    )
    return await sampled(inside, {**source.sampling, "model": source.model, "messages": turns, "stream": False})


def _by_criterion(criteria: Sequence[Criterion], items: Sequence[EvalItem]) -> list[Document]:
    """In the order of the criteria, whatever their names; an item that went wrong counts for those that had graded it."""
    counted: list[Document] = []
    for place, criterion in enumerate(criteria):
        grades = [item.document["results"][place] for item in items if len(item.document["results"]) > place]
        passed = sum(grade["passed"] for grade in grades)
        counted.append({"testing_criteria": criterion.name, "passed": passed, "failed": len(grades) - passed})
    return counted


def _usage(items: Sequence[EvalItem], answered: bool) -> list[Document]:
    """What each model was asked: to judge, and to answer unless the rows came with their answers."""
    used: dict[str, Counter[str]] = {}
    for item in items:
        judged = [grade["sample"] for grade in item.document["results"] if "sample" in grade]
        for sample in [item.document["sample"], *judged] if answered else judged:
            if "usage" in sample:
                used.setdefault(sample["model"], Counter()).update({"invocation_count": 1, **sample["usage"]})
    return [{"model_name": model, **counts} for model, counts in used.items()]
