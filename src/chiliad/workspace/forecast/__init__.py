"""What more data would be worth, told before anybody labels it."""

from chiliad.workspace.forecast.forecast import MULTIPLES, Forecast, Outlook, Prompted, forecast

__all__ = ["MULTIPLES", "Forecast", "Outlook", "Prompted", "forecast"]
