"""What is reported of a fit, in the order in which it is read: terms, estimands, checks.

A new kind of term or a new estimand is a file with `sections`, and a line here.
"""

from typing import TYPE_CHECKING

from bayes_crlm.analysis.data_section import data_sections
from bayes_crlm.fit.sections import fit_sections
from bayes_crlm.words.section import Section

if TYPE_CHECKING:
    from bayes_crlm.fit.findings import Findings


def sections_of(found: "Findings") -> tuple[Section, ...]:
    """Everything that was found."""
    return (*data_sections(found), *fit_sections(found))
