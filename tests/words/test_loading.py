"""The search for garbage rests while modules load, and is then what it was."""

import gc

import pytest

from bayes_crlm.cli import main
from bayes_crlm.words.loading import collector_resting


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_rests_and_is_then_what_it_was(was_on):
    before = gc.isenabled()
    (gc.enable if was_on else gc.disable)()
    try:
        with collector_resting():
            assert not gc.isenabled()
        assert gc.isenabled() == was_on
    finally:
        (gc.enable if before else gc.disable)()


def test_a_program_that_calls_the_command_line_keeps_its_own_settings(capsys):
    before = gc.get_threshold()
    assert main(["list"]) == 0
    assert gc.get_threshold() == before
    assert capsys.readouterr().out
