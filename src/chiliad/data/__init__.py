"""Data: any table or chat log -> examples -> checks -> split -> frozen dataset."""

from chiliad.data.checks import Finding, Report, check
from chiliad.data.collection import Lot, Member, members_of, read_collection
from chiliad.data.columns import Columns, find_columns
from chiliad.data.convert import to_examples
from chiliad.data.dataset import Amended, Dataset, amend, assemble, freeze, renew
from chiliad.data.example import Example, Message
from chiliad.data.fine_tuning_rows import learned_turns
from chiliad.data.json_lines import check_json_lines
from chiliad.data.read import read_lines, read_table
from chiliad.data.table import Table, table_from_frame, table_from_rows
from chiliad.data.task import TaskKind, task_kind

__all__ = [
    "Amended",
    "Columns",
    "Dataset",
    "Example",
    "Finding",
    "Lot",
    "Member",
    "Message",
    "Report",
    "Table",
    "TaskKind",
    "amend",
    "assemble",
    "check",
    "check_json_lines",
    "find_columns",
    "freeze",
    "learned_turns",
    "members_of",
    "read_collection",
    "read_lines",
    "read_table",
    "renew",
    "table_from_frame",
    "table_from_rows",
    "task_kind",
    "to_examples",
]
