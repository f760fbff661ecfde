"""A record does as a frozen dataclass does."""

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import pytest

from bayes_crlm.words.records import record


@record
class Point:
    kind: ClassVar[str] = "point"
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)

    @cached_property
    def double(self) -> int:
        return 2 * self.x


@dataclass(frozen=True)
class Frozen:
    kind: ClassVar[str] = "point"
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)


@record
class Named(Point):
    label: str = "none"

    def __repr__(self) -> str:
        return self.label


@record(eq=False)
class Checked:
    x: int

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x is below 0")
        object.__setattr__(self, "x", self.x + 1)


# what a type checker would not let pass is given by names that it does not follow
LOOSE: Any = Point


@pytest.mark.parametrize(
    "given",
    [((1,), {}), ((1, 3), {}), ((1,), {"names": ["a"]}), ((), {"y": 5, "x": 4})],
    ids=["default", "by place", "mixed", "by name"],
)
def test_values_are_those_of_a_dataclass(given):
    values, named = given
    mine, expected = LOOSE(*values, **named), Frozen(*values, **named)
    assert vars(mine) == vars(expected)
    assert list(vars(mine)) == list(vars(expected))
    assert asdict(mine) == asdict(expected)
    assert repr(mine) == repr(expected).replace("Frozen", "Point")
    assert [each.name for each in fields(mine)] == ["x", "y", "names"]


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((1, 2, [], 4), {})],
    ids=["none", "twice", "unknown", "too many"],
)
def test_wrong_values_are_refused(values, named):
    with pytest.raises(TypeError, match="Point"):
        LOOSE(*values, **named)


def test_a_record_never_changes():
    point: Any = Point(1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2
    with pytest.raises(FrozenInstanceError):
        del point.x
    assert point.double == 2
    assert replace(point, x=3).double == 6


def test_records_are_compared_by_values_or_not_at_all():
    assert Point(1) == Point(1, 2, [])
    assert Point(1) != Point(2)
    assert Point(1) != Frozen(1)
    assert hash(replace(Point(1), names=())) == hash(replace(Point(1), names=()))
    one = Checked(1)
    assert one == one
    assert one != Checked(1)
    assert len({one, Checked(1)}) == 2


def test_own_methods_stay_and_defaults_are_not_shared():
    assert repr(Named(1, label="A")) == "A"
    assert vars(Named(1)) == {"x": 1, "y": 2, "names": [], "label": "none"}
    assert Point(1).names is not Point(1).names
    assert Checked(1).x == 2
    with pytest.raises(ValueError, match="below 0"):
        Checked(-1)


def test_records_are_copied_and_pickled():
    point = Point(1, names=["a"])
    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point
