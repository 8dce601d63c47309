"""Data: any table or chat log -> examples -> checks -> split -> frozen dataset."""

from chiliad.data.checks import Finding, Report, check
from chiliad.data.collection import Lot, Member, members_of, read_collection
from chiliad.data.columns import Columns, find_columns
from chiliad.data.convert import to_examples
from chiliad.data.dataset import Amended, Dataset, amend, assemble, freeze, renew, thinned
from chiliad.data.example import Example, Message
from chiliad.data.fine_tuning_rows import learned_turns
from chiliad.data.json_lines import check_json_lines
from chiliad.data.preference import Preference, Preferences
from chiliad.data.preference_rows import states_preferences, to_preferences
from chiliad.data.preferred import assemble_preferences, freeze_preferences
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
    "Preference",
    "Preferences",
    "Report",
    "Table",
    "TaskKind",
    "amend",
    "assemble",
    "assemble_preferences",
    "check",
    "check_json_lines",
    "find_columns",
    "freeze",
    "freeze_preferences",
    "learned_turns",
    "members_of",
    "read_collection",
    "read_lines",
    "read_table",
    "renew",
    "states_preferences",
    "table_from_frame",
    "table_from_rows",
    "task_kind",
    "thinned",
    "to_examples",
    "to_preferences",
]
