"""Tables and figures begin with the name of their part, which tells them from those of `run`."""

import ast
import inspect

import pytest

from bayes_crlm.report.output_folder import is_of_part
from bayes_crlm.report.sensitivity import check_names
from bayes_crlm.sensitivity.parts import finding, rows_of
from bayes_crlm.sensitivity.registry import PARTS, part_module

MAKERS = ("rows_of", "Figure", "forest", "curve")


def declared_names(module):
    """Names that a module gives to its tables and figures: first arguments of what makes them."""
    tree = ast.parse(inspect.getsource(module))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    made = [node.args[0] for node in calls if getattr(node.func, "id", "") in MAKERS]
    return {each.value for each in made if isinstance(each, ast.Constant)}


@pytest.mark.parametrize("part", PARTS)
def test_every_name_that_a_part_declares_begins_with_it(part):
    names = declared_names(part_module(part))
    assert part in names
    for name in names:
        assert name == part or name.startswith(f"{part}_")
        assert is_of_part(f"{name}.csv")


def test_other_names_are_refused_before_anything_is_written():
    tables = [rows_of(name, [{"a": 1}]) for name in ("overlap", "overlap_balance")]
    check_names([finding("overlap", "", rows=tables)])
    for name in ("balance", "overlapping", "immortal_time"):
        with pytest.raises(
            AssertionError, match=f"'{name}' of overlap has to begin with 'overlap'"
        ):
            check_names([finding("overlap", "", rows=[rows_of(name, [{"a": 1}])])])
