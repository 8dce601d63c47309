"""Every exception that Chiliad raises on purpose.

ChiliadError
├── ConfigError            a setting is unknown or has a bad value
├── StoreError             disk full, database unreadable, a file that cannot be written
│   ├── BrokenArchive      cut short, changed, or made to do harm
│   │   ├── BrokenBackup
│   │   └── BrokenPack
│   ├── InUse              another process holds it; later it may be free
│   ├── FileMissing        no such uploaded file, or not any more
│   └── FileRefused        an upload that is too large or has a name that no file may have
├── BaseModelError
│   ├── BaseNotFound
│   ├── BaseNotLoaded      here, and not in memory yet
│   ├── BrokenBase         truncated, unsupported or tampered base model file
│   └── LicenceNotAccepted terms that somebody has to agree to first
├── AdapterError
│   ├── BrokenAdapter      truncated, pickled, NaN or malformed adapter file
│   ├── NotServed          of a kind that is not computed here
│   └── WrongBase          made for a base with another fingerprint
├── DataError
│   ├── UnreadableFile
│   ├── ColumnsNotFound
│   └── UnusableData       empty, one class only, too few rows
├── EvalError               an eval whose templates or data cannot be used
│   └── EvalNotFound
├── TrainingError
├── EngineError            a step failed; its requests ended, the engine goes on
├── RegistryError
│   ├── ExpertNotFound
│   ├── VersionConflict    two writers of one version
│   └── PromotionRefused
├── JobError
│   ├── JobNotFound
│   └── JobConflict        not possible in its state, or its key names another job
├── QueryError             a query that a database does not answer
│   ├── QueryFailed        wrong in its words or names, or too much work
│   └── QueryRefused       it would do more than read
├── FeedbackError          what cannot be said about an answer
│   └── AnswerNotFound     never kept, or not any more
├── AccessError
│   ├── KeyNotFound
│   └── BadKey             a name, project or limit that a key cannot have
└── RequestError
    ├── BadRequest
    ├── PromptTooLong
    ├── DeadlinePassed     the request's own limit
    └── Overloaded
"""

from __future__ import annotations

from typing import ClassVar


class ChiliadError(Exception):
    """Says what happened (`cause`), what to do (`fix`), and a stable `code` for programs."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, cause: str, *, fix: str) -> None:
        super().__init__(f"{cause} {fix}")
        self.cause = cause
        self.fix = fix


class ConfigError(ChiliadError):
    code = "config"
    exit_code = 2


class StoreError(ChiliadError):
    code = "store"


class BrokenArchive(StoreError):
    """One file that should hold many. thing: what it should have been."""

    code = "broken_archive"
    thing: ClassVar[str] = "archive"


class BrokenBackup(BrokenArchive):
    code = "broken_backup"
    thing = "backup"


class BrokenPack(BrokenArchive):
    code = "broken_pack"
    thing = "pack"


class InUse(StoreError):
    """Another process holds it."""


class FileMissing(StoreError):
    code = "file_not_found"


class FileRefused(StoreError):
    code = "file_refused"


class BaseModelError(ChiliadError):
    code = "base"


class BaseNotFound(BaseModelError):
    code = "base_not_found"


class BaseNotLoaded(BaseModelError):
    """Whoever gets this can load the base `base_id`, and ask again."""

    code = "base_not_loaded"

    def __init__(self, base_id: str) -> None:
        super().__init__(f"The base model {base_id} is not in memory yet.", fix="Ask again in a moment.")
        self.base_id = base_id


class BrokenBase(BaseModelError):
    code = "broken_base"


class LicenceNotAccepted(BaseModelError):
    code = "licence_not_accepted"


class AdapterError(ChiliadError):
    code = "adapter"


class BrokenAdapter(AdapterError):
    code = "broken_adapter"


class NotServed(AdapterError):
    code = "not_served"


class WrongBase(AdapterError):
    code = "wrong_base"


class DataError(ChiliadError):
    code = "data"


class UnreadableFile(DataError):
    code = "unreadable_file"


class ColumnsNotFound(DataError):
    code = "columns_not_found"


class UnusableData(DataError):
    code = "unusable_data"


class EvalError(ChiliadError):
    code = "eval"


class EvalNotFound(EvalError):
    code = "eval_not_found"


class TrainingError(ChiliadError):
    code = "training"


class EngineError(ChiliadError):
    code = "engine"


class RegistryError(ChiliadError):
    code = "registry"


class ExpertNotFound(RegistryError):
    code = "expert_not_found"


class VersionConflict(RegistryError):
    code = "version_conflict"


class PromotionRefused(RegistryError):
    code = "promotion_refused"


class JobError(ChiliadError):
    code = "job"


class JobNotFound(JobError):
    code = "job_not_found"


class JobConflict(JobError):
    code = "job_conflict"


class QueryError(ChiliadError):
    code = "query"


class QueryFailed(QueryError):
    """said: what the database says about it, in its own words"""

    code = "query_failed"

    def __init__(self, said: str, *, fix: str) -> None:
        super().__init__(f"The query does not run: {said}.", fix=fix)
        self.said = said


class QueryRefused(QueryError):
    code = "query_refused"


class FeedbackError(ChiliadError):
    code = "feedback"


class AnswerNotFound(FeedbackError):
    code = "answer_not_found"


class AccessError(ChiliadError):
    code = "access"


class KeyNotFound(AccessError):
    code = "key_not_found"


class BadKey(AccessError):
    code = "bad_key"


class RequestError(ChiliadError):
    code = "request"


class BadRequest(RequestError):
    code = "bad_request"


class PromptTooLong(RequestError):
    """It begins in the words of OpenAI's message, by which clients know it."""

    code = "prompt_too_long"

    def __init__(self, *, context_max: int, limit: int, got: int) -> None:
        super().__init__(
            f"This model's maximum context length is {context_max} tokens; the prompt has {got}, and the answer leaves "
            f"room for {limit}.",
            fix="Shorten the input or lower max_tokens.",
        )
        self.limit = limit
        self.got = got


class DeadlinePassed(RequestError):
    code = "deadline_passed"


class Overloaded(RequestError):
    code = "overloaded"
