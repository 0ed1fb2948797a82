"""The pictures: well-formed, small, and true to their highest values."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from tests.simulation.drawing import MOST_POINTS, Panel, picture, short, thinned, ticks

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*panels: Panel) -> ET.Element:
    return ET.fromstring(picture("Pods & messages", panels))  # noqa: S314 - our own text


def test_a_picture_is_one_svg_document_with_a_line_for_each_run_in_each_panel() -> None:
    lines = {"a": [(0.0, 0.0), (60.0, 3.0)], "b": [(0.0, 1.0), (60.0, 1.0)]}
    root = drawn(Panel("Pods", lines), Panel("Messages", lines, "thousands"))
    legend, panels = 2, 4
    assert legend + panels == len(root.findall(f"{SVG}path"))
    assert {"Pods & messages", "Pods", "Messages (thousands)", "a", "b"} <= {node.text for node in root.iter()}


def test_the_highest_value_of_a_picture_is_drawn_however_many_points_there_are() -> None:
    points = [(float(at), 1.0) for at in range(100_000)]
    points[54_321] = (54_321.0, 40.0)
    thin = thinned(points)
    assert (54_321.0, 40.0) in thin
    assert len(thin) <= MOST_POINTS


def test_a_level_stretch_is_drawn_by_its_ends() -> None:
    [_, line] = drawn(Panel("Pods", {"a": [(float(at), 5.0) for at in range(100)]})).findall(f"{SVG}path")
    assert 1 == line.attrib["d"].count("L")


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (20, [0, 10, 20]),
        (19, [0, 10, 20]),
        (0, [0, 1]),
        (1_000_000, [0, 500_000, 1_000_000]),
        (0.3, [0, 0.1, 0.2, 0.3]),
    ],
)
def test_the_marks_of_an_axis_are_round_and_reach_the_highest_value(most: float, expected: list[float]) -> None:
    assert expected == pytest.approx(ticks(most))


def test_numbers_on_an_axis_are_short() -> None:
    assert ["0", "0.25", "20", "1.5k", "1M"] == [short(value) for value in (0, 0.25, 20, 1500, 1e6)]
