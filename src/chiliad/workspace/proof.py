"""Evaluation of a version: its card, and its comparison with the version that is live."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chiliad.base import ChatTemplate
from chiliad.data import Dataset, Example
from chiliad.embeddings import Embedder
from chiliad.evals import Card, EvalOptions, Subject, evaluate, make_card
from chiliad.evals.runner import answer_tokens_max, make_judge, run_expert
from chiliad.metrics import CustomScore, Scores, paired_test
from chiliad.registry import Comparison
from chiliad.store.files import write_atomic
from chiliad.workspace.expert import CARD_FILE, Expert
from chiliad.workspace.machine import machine
from chiliad.workspace.progress import Reporter


def prove(
    expert: Expert,
    dataset: Dataset,
    embedder: Embedder,
    reporter: Reporter,
    *,
    learned_before: Sequence[Example],
    scorer: CustomScore | None = None,
    options: EvalOptions | None = None,
) -> Card:
    """Evaluate an expert beside its baselines on the test rows of `dataset`, from its files as they are on disk.

    learned_before: by those that the expert was continued from.
    """
    served = expert.served
    served.know(expert.version, expert.folder)
    comparison = evaluate(
        dataset,
        served.answerer(expert.version, expert.template),
        served.answerer(None, served.chat_template),
        embed=embedder.embed,
        count_tokens=lambda text: len(served.tokenizer.encode(text)),
        on_progress=reporter.stage,
        scorer=scorer,
        options=options,
        learned_before=learned_before,
    )
    return make_card(comparison, dataset, _subject(expert))


def prove_and_keep(
    expert: Expert,
    dataset: Dataset,
    embedder: Embedder,
    reporter: Reporter,
    *,
    learned_before: Sequence[Example],
    scorer: CustomScore | None = None,
    options: EvalOptions | None = None,
) -> Card:
    """`prove`, and write the card beside the version if it tells how that answers when asked: on its own frozen test rows,
    with the closed answer set kept and without a scorer of the user's."""
    card = prove(expert, dataset, embedder, reporter, learned_before=learned_before, scorer=scorer, options=options)
    as_asked = scorer is None and (options is None or options.constrain)
    if as_asked and dataset.hash == expert.version.dataset_hash:
        write_card(expert.folder, card)
    return card


def write_card(folder: Path, card: Card) -> None:
    """card.json for programs, card.md and card.html for people."""
    write_atomic(folder / "card.md", card.to_markdown())
    write_atomic(folder / "card.html", card.to_html())
    write_atomic(folder / CARD_FILE, card.to_json())


def compare_versions(
    candidate: Expert, others: Sequence[Expert], dataset: Dataset, reporter: Reporter
) -> list[Comparison]:
    """Let all of them answer the same frozen test rows, each by its own contract; the candidate against each other one."""
    new = scores_on(candidate, dataset.test, dataset, reporter)
    return [
        _comparison(candidate, new, other, scores_on(other, dataset.test, dataset, reporter), dataset)
        for other in others
    ]


def _comparison(candidate: Expert, new: Scores, other: Expert, old: Scores, dataset: Dataset) -> Comparison:
    test = paired_test(new.per_example, old.per_example)
    return Comparison(
        candidate=candidate.version.number,
        live=other.version.number,
        dataset_hash=dataset.hash,
        metric=new.name,
        candidate_score=new.value,
        live_score=old.value,
        delta=test.delta,
        p_value=test.p_value,
        low=test.low,
        high=test.high,
        n=test.n,
    )


def scores_on(expert: Expert, examples: Sequence[Example], dataset: Dataset, reporter: Reporter) -> Scores:
    """By the main metric, on any examples of the kind that `dataset` holds."""
    served, version = expert.served, expert.version
    served.know(version, expert.folder)
    tokens_max = answer_tokens_max(dataset.train, lambda text: len(served.tokenizer.encode(text)))
    answer = served.answerer(version, expert.template)
    judge = make_judge(dataset.kind, None)
    return run_expert(examples, answer, judge, version.choices or None, tokens_max, reporter.stage).scores


def _subject(expert: Expert) -> Subject:
    version = expert.version
    return Subject(
        name=version.name,
        version=version.number,
        base_id=version.base_id,
        base_fingerprint=version.base_fingerprint,
        adapter_bytes=(expert.folder / "adapter_model.safetensors").stat().st_size,
        created=version.created.isoformat(timespec="seconds"),
        machine=machine(),
        training=dict(version.training),
    )


def template_of(folder: Path, served_template: ChatTemplate, file: str) -> ChatTemplate:
    """The prompt template that a version was trained with; the base's compact one for imported adapters without any."""
    path = folder / file
    if not path.is_file():
        return served_template
    return ChatTemplate(
        path.read_bytes().decode("utf-8"), bos_token=served_template.bos_token, eos_token=served_template.eos_token
    )
