"""Who may ask, what each answer cost, and what it would have cost elsewhere."""

from chiliad.ledger.accounts import Accounts
from chiliad.ledger.machine_time import MachineTime
from chiliad.ledger.prices import MachinePrice
from chiliad.ledger.report import CostReport, TestScore, cost_report

__all__ = ["Accounts", "CostReport", "MachinePrice", "MachineTime", "TestScore", "cost_report"]
