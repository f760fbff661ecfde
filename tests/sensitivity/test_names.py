"""Tables and figures begin with the name of their part, which tells them from those of `run`."""

import ast
import inspect

import pandas as pd
import pytest

from bayes_crlm.report.folder import is_of_part
from bayes_crlm.report.sensitivity import check_names
from bayes_crlm.sensitivity.parts import PartResult
from bayes_crlm.sensitivity.registry import PARTS, part_module
from bayes_crlm.sensitivity.run import Sensitivity

KINDS = ("tables", "figures")


def keys_of(node):
    """String keys of a dict literal."""
    found = node.keys if isinstance(node, ast.Dict) else []
    return {key.value for key in found if isinstance(key, ast.Constant)}


def declared_names(module):
    """Keys of what a module hands to PartResult as tables and figures, or makes for it."""
    tree = ast.parse(inspect.getsource(module))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "PartResult":
            for keyword in node.keywords:
                if keyword.arg in KINDS:
                    names |= keys_of(keyword.value)
        if isinstance(node, ast.FunctionDef) and node.name in ("tables_of", "figures_of"):
            for each in ast.walk(node):
                if isinstance(each, ast.Return):
                    names |= keys_of(each.value)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id in KINDS:
                    names |= keys_of(node.value)
                if isinstance(target, ast.Subscript) and getattr(target.value, "id", "") in KINDS:
                    names |= (
                        {target.slice.value} if isinstance(target.slice, ast.Constant) else set()
                    )
    return names


@pytest.mark.parametrize("part", PARTS)
def test_every_name_that_a_part_declares_begins_with_it(part):
    names = declared_names(part_module(part))
    assert part in names
    for name in names:
        assert name == part or name.startswith(f"{part}_")
        assert is_of_part(f"{name}.csv")


def found_with(tables):
    parts = {"overlap": PartResult(result={}, sentence="", moves=None, tables=tables)}
    return Sensitivity(
        plan=None, settings=None, base={}, level=1, parts=parts, not_run={}, crashes={},
        provenance={},
    )  # fmt: skip


def test_other_names_are_refused_before_anything_is_written():
    table = pd.DataFrame({"a": [1]})
    check_names(found_with({"overlap": table, "overlap_balance": table}))
    for name in ("balance", "overlapping", "immortal_time"):
        with pytest.raises(
            AssertionError, match=f"'{name}' of overlap has to begin with 'overlap'"
        ):
            check_names(found_with({name: table}))
