"""`__all__` stands where names are public, and nowhere else."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PUBLIC = {
    "__init__.py",
    "cli/__init__.py",
    "datasets/__init__.py",
    "figures/__init__.py",
    "priors.py",
    "sensitivity/credibility.py",
    "sensitivity/e_values.py",
    "sensitivity/prior_choices.py",
    "sensitivity/tipping_points.py",
    "tasks/__init__.py",
}


def says_what_is_public(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any("__all__" in ast.unparse(line) for line in tree.body if isinstance(line, ast.Assign))


def test_public_modules_and_no_others_say_what_is_public():
    package = ROOT / "bayes_crlm"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if says_what_is_public(path)
    }
    assert found == PUBLIC
