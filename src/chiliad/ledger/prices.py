"""What a second of this machine costs, by the workspace's own figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from chiliad.config import PriceSettings

YEAR_S = 365.25 * 24 * 3600
HOUR_S = 3600
TOKEN_S_MAX = 0.02
"""seconds of machine that are reserved for a token of a prompt or an answer: what the slowest useful machine takes"""


@dataclass(frozen=True)
class MachinePrice:
    """per_second: of a second that the machine works, the idle ones that it stands for included"""

    currency: str
    per_second: float
    told: str
    """where the figure comes from, for people"""

    @classmethod
    def of(cls, settings: PriceSettings) -> Self:
        """A rented machine's price includes its power; a bought one is paid off over its life, and its power on top.

        Power counts in full for idle time too, which errs on the dear side.
        """
        if settings.machine_per_hour is not None:
            hourly, told = settings.machine_per_hour, f"{settings.machine_per_hour:g} per hour"
        else:
            owned = settings.machine_purchase / (settings.machine_life_years * YEAR_S) * HOUR_S
            hourly = owned + settings.power_watts / 1000 * settings.power_per_kwh
            told = (
                f"bought for {settings.machine_purchase:g} and used for {settings.machine_life_years:g} years, "
                f"{settings.power_watts:g} W at {settings.power_per_kwh:g} per kWh"
            )
        assumed = "Chiliad's assumptions: " if settings == PriceSettings() else ""
        told = f"{assumed}{told}, without work {settings.idle_share:.0%} of the time"
        return cls(settings.currency, hourly / HOUR_S / (1 - settings.idle_share), told)

    def cost(self, machine_s: float) -> float:
        return machine_s * self.per_second

    def cost_max(self, tokens: int) -> float:
        """What to reserve for so many tokens of prompt and answer."""
        return self.cost(tokens * TOKEN_S_MAX)
