"""The drawing says what is wrong: an arrow up, a circle of modules."""

from __future__ import annotations

from collections import Counter

from tools.graph import Graph, _circles
from tools.lines import folder_of, table

ROWS = (("top",), ("left", "right"), ("bottom",))


def test_marks_stand_right_of_the_diagonal_where_all_arrows_go_down() -> None:
    graph = Graph(ROWS, {("top", "bottom"): 2, ("left", "bottom"): 1}, ())
    assert graph.arrows_up() == []
    assert graph.text().splitlines()[1:] == [
        " 1  top     \\  ·  ·  ●",
        " 2  left    ·  \\  ·  ●",
        " 3  right   ·  ·  \\  ·",
        " 4  bottom  ·  ·  ·  \\",
    ]
    assert graph.text(counts=True).splitlines()[1].split() == ["1", "top", "\\", "·", "·", "2"]


def test_an_arrow_to_the_same_step_or_a_higher_one_is_up() -> None:
    graph = Graph(ROWS, {("left", "right"): 1, ("bottom", "top"): 1, ("top", "left"): 1}, ())
    assert graph.arrows_up() == [("bottom", "top"), ("left", "right")]


def test_circles_of_modules_are_found_and_what_leads_to_them_is_no_part() -> None:
    assert _circles([("a", "b"), ("b", "c")]) == ()
    assert _circles([("x", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("b", "y")]) == (("a", "b", "c"),)


def test_lines_are_counted_by_folder_with_a_sum_for_opened_ones() -> None:
    assert folder_of("verifier/tee/sev_snp/rules.py") == ("verifier", "tee")
    assert folder_of("verifier/compose.py") == ("verifier",)
    assert folder_of("tools/demo/tls.py") == ("tools",)
    assert folder_of("setup.py") == (".",)
    counted = Counter({("verifier", "tee"): 1000, ("verifier",): 20, ("tools",): 3})
    rows = [line.split() for line in table({"REV": counted}).splitlines()]
    assert rows == [
        ["REV"], ["tools/", "3"], ["verifier/", "1,020"], ["verifier/*.py", "20"], ["verifier/tee/", "1,000"],
        ["product", "(verifier/)", "1,020"], ["all", "1,023"],
    ]  # fmt: skip
