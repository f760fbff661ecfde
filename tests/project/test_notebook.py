"""The notebook runs from top to bottom, says what it must, and is stored without outputs."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "repeat_local_treatment.ipynb"


@pytest.fixture(scope="module")
def executed():
    """The notebook after a run with a short budget."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAYES_CRLM_NOTEBOOK_DRAWS", "200")
        # a command line run in the same process chooses a backend for files, not for notebooks
        patch.delenv("MPLBACKEND", raising=False)
        path = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
        NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return notebook


def outputs_of(notebook, kind):
    """All outputs of a MIME type, or the printed text."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if kind == "stream" and output.output_type == "stream":
                found.append(output.text)
            elif kind in output.get("data", {}):
                found.append(output["data"][kind])
    return found


def test_it_runs_and_gives_an_answer(executed):
    printed = "".join(outputs_of(executed, "stream"))
    assert "Hazard ratio 0." in printed
    assert "P(HR < 1) = " in printed
    assert "Synthetic, not patient data." in printed


def test_it_shows_prior_survival_and_forest(executed):
    assert len(outputs_of(executed, "image/png")) == 3


def test_nothing_is_warned_about(executed):
    errors = [
        output.text
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert errors == []


def test_it_is_stored_without_outputs():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_it_says_that_the_cohort_is_synthetic_before_any_number():
    first = nbformat.read(NOTEBOOK, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert "synthetic, not patient data" in first.source
