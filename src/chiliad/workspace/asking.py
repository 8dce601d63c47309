"""`chiliad ask` and `ws.ask`: one answer without a server, in the ledger all the same."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from chiliad.engine import SamplingParams
from chiliad.store import DEFAULT_PROJECT, Entry, Settled
from chiliad.workspace.expert import Expert

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

BY_HAND = "by-hand"
"""who asked, in the ledger: no key, and whoever may read the workspace's files"""


def asked(workspace: Workspace, expert: Expert, text: str, sampling: SamplingParams | None = None) -> str:
    """The answer, of which the ledger keeps what it took: not the time to load the base and the adapter's weights before."""
    completion = expert.complete(text, sampling or SamplingParams())
    machine_s = completion.timing.total_s - completion.timing.queue_s
    accounts = workspace.accounts
    entry = Entry(
        id=f"ask-{secrets.token_hex(12)}",
        at_s=accounts.clock(),
        key_id=BY_HAND,
        project=DEFAULT_PROJECT,
        model=str(expert.ref),
        answers=1,
        prompt_tokens=completion.prompt_tokens,
        cached_tokens=completion.cached_tokens,
        answer_tokens=len(completion.tokens),
        machine_s=machine_s,
        wait_s=completion.timing.total_s,
        cost=accounts.price.cost(machine_s),
    )
    accounts.recorder.add(Settled(entry))
    return completion.text
