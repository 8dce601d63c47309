"""An audit of a table beside what the workspace's other experts learned from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from chiliad.errors import UnusableData
from chiliad.workspace.given import Data, numbered_examples, table_of
from chiliad.workspace.lineage import known_lineage

if TYPE_CHECKING:
    from chiliad.data.audit import Audit, Known
    from chiliad.workspace.workspace import Workspace


def audited(
    workspace: Workspace, data: Data, *, test: Data | None, time: str | None, columns: Mapping[str, Any]
) -> Audit:
    """See `Workspace.audit`."""
    from chiliad.data.audit import audit, time_split  # here, because datasketch takes a second to import

    if test is not None and time is not None:
        raise UnusableData(
            "Both a test and a column with times are given.", fix="Give one of them: each says which rows are the test."
        )
    table = table_of(data)
    rows = numbered_examples(table, **columns)[1]
    tested = None if test is None else numbered_examples(test, **columns)[1]
    if time is not None:
        split = time_split(table, time)
        rows, tested = (
            {number: rows[number] for number in part if number in rows} for part in (split.older, split.newer)
        )
    with workspace.reporter as reporter:
        reporter.stage("audit", 0, 0)
        return audit(
            rows,
            lambda texts: workspace.embedder.embed(texts),
            test=tested,
            others=_others(workspace),
            by_time=time is not None,
        )


def _others(workspace: Workspace) -> Iterator[Known]:
    """What the live versions learned, also before their own rows. An imported one does not say."""
    from chiliad.data.audit import Known

    for expert in workspace.registry.experts():
        if expert.live:
            datasets = known_lineage(workspace, expert.live)
            yield Known(expert.name, [example for dataset in datasets for example in dataset.learned])
