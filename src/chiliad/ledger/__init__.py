"""Who may ask, what each answer cost, and what it would have cost elsewhere."""

from chiliad.ledger.accounts import Accounts
from chiliad.ledger.machine_time import MachineTime
from chiliad.ledger.prices import MachinePrice
from chiliad.ledger.records import Evidence, Records, RightShare, Training
from chiliad.ledger.report import CostReport, cost_report

__all__ = [
    "Accounts",
    "CostReport",
    "Evidence",
    "MachinePrice",
    "MachineTime",
    "Records",
    "RightShare",
    "Training",
    "cost_report",
]
