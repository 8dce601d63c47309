"""`chiliad forecast` as people use it."""

from pathlib import Path


def test_a_forecast_is_shown_and_kept_as_a_page(chiliad, live):
    shown = chiliad("forecast", "tickets", "--more", 500)
    assert shown.code == 0, shown.err
    assert shown.out.count("measured") == 6
    assert "More rows" in shown.out
    assert "5 examples in the prompt" in shown.out.replace("\n", " ")
    assert Path("ws/reports/forecasts/tickets-1.html").is_file()
