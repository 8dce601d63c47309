"""SVG that is well formed, carries a name, and puts numbers where they belong."""

import xml.etree.ElementTree as ET

import pytest

from chiliad.evals.plots import loss_curve, score_bar


def test_a_bar_is_as_long_as_its_score():
    svg = ET.fromstring(score_bar(0.25, 0.2, 0.31, 'A "<b>" & co'))
    assert svg.get("aria-label") == 'A "<b>" & co'
    assert svg.get("role") == "img"
    fill = next(rect for rect in svg.iter("rect") if rect.get("class") == "fill")
    assert fill.get("width") == "25.00%"
    assert {line.get("x1") for line in svg.iter("line")} == {"20.00%", "31.00%"}


def test_a_curve_starts_top_left_and_ends_right():
    curve = loss_curve([(0, 4.0), (50, 2.0), (100, 1.0)], [(50, 2.0), (100, 3.0)])
    svg = ET.fromstring(curve.svg)
    paths = {path.get("class"): path.get("d") for path in svg.iter("path")}
    assert paths["line raw"] == "M0.00 0.00L50.00 50.00L100.00 75.00"
    assert paths["line dev"] == "M50.00 50.00L100.00 25.00"
    assert curve.y_labels == ("4", "3", "2", "1", "0")
    assert curve.x_labels == ("0", "50", "100")
    assert svg.get("aria-label") == "Training loss from 4 to 1"


def test_thousands_of_steps_stay_small_and_keep_the_last():
    curve = loss_curve([(step, 1 / (step + 1)) for step in range(50_000)], [])
    assert len(curve.svg) < 30_000
    assert "100.00 100.00" in curve.svg


def test_values_that_are_not_finite_are_left_out():
    curve = loss_curve([(0, 1.0), (1, float("nan")), (2, float("inf")), (3, 0.5)], [])
    assert "nan" not in curve.svg
    assert "inf" not in curve.svg


@pytest.mark.parametrize("points", [[], [(1, 1.0)], [(1, float("nan")), (2, float("nan"))]])
def test_nothing_to_draw_is_no_curve(points):
    assert loss_curve(points, []) is None


@pytest.mark.parametrize("points", [[(5, 1.0), (5, 2.0)], [(1, 0.0), (2, 0.0)]])
def test_flat_data_still_draws(points):
    ET.fromstring(loss_curve(points, []).svg)
