"""Specs with all their tables, as users read them."""

import os
from typing import Any

from bayes_crlm.analysis.terms import term_checks
from bayes_crlm.specification.spec import Spec, TableCheck
from bayes_crlm.specification.spec import read_spec as read_known_tables


def problems_of_sensitivity(given: Any) -> list[str]:
    """Say what is wrong with a table `[sensitivity]`; its parts are imported for that."""
    from bayes_crlm.sensitivity.settings import sensitivity_problems

    return sensitivity_problems(given)


def table_checks() -> dict[str, TableCheck]:
    """Checks of the tables that `bayes_crlm.specification` does not know."""
    return {"sensitivity": problems_of_sensitivity} | term_checks()


def read_spec(path_or_name: str | os.PathLike[str]) -> Spec:
    """Read a spec from a file, or by the name of a file in ``models/``.

    Parameters
    ----------
    path_or_name : path or str
        A path, or a name with or without ``.toml``. A file of that name in
        the working folder goes before the one in ``models/``.

    Raises
    ------
    SpecError
        One line that names the file and says every problem in it.
    """
    return read_known_tables(path_or_name, table_checks())
