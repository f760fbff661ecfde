"""What the study's design turns off, and what only counts when it is stated."""

import pytest

from bayes_crlm import read_spec
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.sensitivity.registry import PARTS
from bayes_crlm.sensitivity.run import SETTLED_BY_LOT, check_parts
from bayes_crlm.sensitivity.settings import read_settings
from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.errors import SensitivityError


def plan_of(design):
    tables = read_spec("os_repeat_local_vs_systemic").to_mapping()
    return plan_analysis(Spec.from_mapping(tables | {"study": {"design": design}}))


def test_a_lot_turns_off_what_it_settles():
    observational, randomised = (
        check_parts(plan_of(design), read_settings(None))
        for design in ("observational", "randomised")
    )
    assert set(randomised) - set(observational) == set(SETTLED_BY_LOT)
    for name in SETTLED_BY_LOT:
        assert "in a randomised study" in randomised[name]


@pytest.mark.parametrize("name", sorted(SETTLED_BY_LOT))
def test_a_part_that_a_lot_settles_is_refused_when_asked_for(name):
    with pytest.raises(SensitivityError, match="study.design = 'randomised'"):
        check_parts(plan_of("randomised"), read_settings(None, [name]))


def test_all_parts_that_a_lot_settles_are_refused_in_one_sentence():
    names = ["overlap", "influence", "immortal_time"]
    with pytest.raises(SensitivityError, match="do not apply: in a randomised") as refusal:
        check_parts(plan_of("randomised"), read_settings(None, names))
    said = str(refusal.value)
    assert said.startswith("immortal_time and overlap do not apply: in a randomised study ")
    assert all(
        SETTLED_BY_LOT[name] in said and name in said for name in ("overlap", "immortal_time")
    )
    assert "influence" not in said and "leave them out" in said


def test_beliefs_that_nobody_stated_stay_unstated_in_the_resolved_spec():
    given = {"missing_data": {"draws": 500}, "unmeasured_confounding": {"prevalence": 0.4}}
    settings = read_settings(given)
    again = read_settings(settings.to_mapping())
    assert "latent_hazard_ratio" not in again.tables["unmeasured_confounding"].model_fields_set
    assert "deltas" not in again.tables["missing_data"].model_fields_set
    assert not again.tables["informative_censoring"].is_stated
    stated = read_settings({"unmeasured_confounding": {"latent_hazard_ratio": [1.0, 4.0]}})
    found = stated.to_mapping()["unmeasured_confounding"]
    assert found["latent_hazard_ratio"] == (1.0, 4.0)


def test_a_list_of_every_part_picks_none():
    assert read_settings(None).selected == frozenset()
    assert read_settings({"parts": list(PARTS)}).selected == frozenset()
    assert read_settings(None, ["influence"]).selected == {"influence"}
    assert read_settings({"parts": ["influence"]}).selected == {"influence"}
