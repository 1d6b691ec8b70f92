"""Hyperparameters: the fields of a detector, each with the rule that a given value must pass."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import field, fields
from math import isfinite
from typing import Any

from atalaia.core.errors import Fault, Invalid

_RULE = "rule"
_POINTER = "/config/hyperparameters"


def number(default: float, *, above: float, most: float) -> float:
    """Return a dataclass field for a number above `above` and not over `most`."""

    def rule(value: object) -> float:
        wanted = f"expected a number above {above:g} and at most {most:g}"
        # JSON's true is Python's 1: a switch is not a number here.
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{wanted}, got {_shown(value)}")
        if not above < value <= most or not isfinite(value):
            raise ValueError(f"{wanted}, got {_shown(value)}")
        return float(value)

    return field(default=default, metadata={_RULE: rule})


def choice(default: int, choices: Collection[int]) -> int:
    """Return a dataclass field for a whole number out of `choices`."""

    def rule(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value not in choices:
            raise ValueError(f"expected one of {', '.join(map(str, choices))}, got {_shown(value)}")
        return int(value)

    return field(default=default, metadata={_RULE: rule})


def text(default: str, check: Callable[[str], str]) -> str:
    """Return a dataclass field for a text that `check` returns or refuses with ValueError."""

    def rule(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"expected a text, got {_shown(value)}")
        return check(value)

    return field(default=default, metadata={_RULE: rule})


def read(detector: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `given` as the detector takes it.

    Raises
    ------
    Invalid
        ``invalid_hyperparameters``, with a fault for every name that is unknown and every value that breaks
        its rule.
    """
    rules: dict[str, Callable[[object], Any]] = {f.name: f.metadata[_RULE] for f in fields(detector)}
    accepted: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, value in given.items():
        try:
            if name not in rules:
                raise ValueError(f"{detector.name} has no such hyperparameter; it takes {', '.join(rules)}")
            accepted[name] = rules[name](value)
        except ValueError as refusal:
            faults.append(Fault(f"{_POINTER}/{_escaped(name)}", str(refusal)))
    if faults:
        raise Invalid("invalid_hyperparameters", f"{faults[0].pointer}: {faults[0].message}", faults=faults)
    return accepted


def _shown(value: object) -> str:
    """Return `value` for people, short whatever it is."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return "a number that is far too large"
    shown = (
        repr(value) if isinstance(value, str | int | float | None) else f"a value of type {type(value).__name__}"
    )
    return shown if len(shown) <= 40 else shown[:37] + "..."


def _escaped(name: str) -> str:
    """Return `name` as one step of a JSON pointer (RFC 6901), cut where no real name reaches."""
    return name[:64].replace("~", "~0").replace("/", "~1")
