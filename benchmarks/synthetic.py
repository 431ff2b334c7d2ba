"""Random documents of any class, for measuring and for checking query plans; their numbers mean nothing."""

from __future__ import annotations

import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
from pydantic import BaseModel

from sse_screen.documents.base import DerivedDocument, Quantity

ANIONS = ["S", "O", "Cl", "Br", "I", "N", "F"]
CENTRES = ["P", "Ge", "Si", "Y", "In", "La", "Zr", "Ti", "Al", "Sn"]
IONS = ["Li"] * 8 + ["Na"] * 2
POTENTIALS = {name: f"{number:x}" * 64 for number, name in enumerate(["chgnet", "mace", "fine-tuned"], 10)}
START = datetime(2026, 1, 1, tzinfo=UTC)


def synthetic_documents(
    document: type[DerivedDocument], number: int, generator: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Make random documents as a builder stores them.

    Parameters
    ----------
    document : type
        Their class.
    number : int
        How many.
    generator : numpy.random.Generator
        Source of randomness.

    Yields
    ------
    dict
        Documents with distinct ids; chemistry, potential and temperatures look like those of a screening,
        everything else is drawn evenly or, for half of what is optional, absent.
    """
    for index in range(number):
        values = _model(document, generator)
        values |= {key: value for key, value in _chemistry(generator).items() if key in values}
        if "formulas" in values:
            values["formulas"] = [values.get("formula", _chemistry(generator)["formula"])]
        potential = list(POTENTIALS)[int(generator.integers(3))]
        if isinstance(values.get("potential"), dict):
            values["potential"] |= {"name": potential, "weights_sha256": POTENTIALS[potential]}
        if "temperature_K" in values:
            values["temperature_K"] = float(generator.integers(3, 16) * 100)
        values |= {"id": f"{index:024x}", "stale": False, "deprecated": bool(generator.random() < 0.02)}
        yield values


def _chemistry(generator: np.random.Generator) -> dict[str, Any]:
    ion, centre, anion = (str(generator.choice(pool)) for pool in (IONS, CENTRES, ANIONS))
    elements = sorted({ion, centre, anion})
    formula = f"{ion}{generator.integers(2, 12)}{centre}{anion}{generator.integers(2, 12)}"
    return {
        "formula": formula,
        "elements": elements,
        "chemical_system": "-".join(elements),
        "mobile_ion": ion,
    }


def _model(model: type[BaseModel], generator: np.random.Generator) -> dict[str, Any]:
    if model is Quantity:
        value = float(generator.lognormal())
        return Quantity(value=value, lower=value / 2, upper=value * 2, unit="1").model_dump()
    values = {name: _value(info.annotation, generator) for name, info in model.model_fields.items()}
    hashes = (name for name in values if name.endswith("sha256") and values[name] is not None)
    return values | {name: f"{generator.integers(20):064x}" for name in hashes}


def _value(annotation: Any, generator: np.random.Generator) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        kept = [argument for argument in arguments if argument is not type(None)]
        absent = type(None) in arguments and generator.random() < 0.5
        return None if absent else _value(kept[0], generator)
    if origin is Literal:
        return arguments[int(generator.integers(len(arguments)))]
    if origin is tuple and Ellipsis not in arguments:
        return [_value(argument, generator) for argument in arguments]
    if origin is list or origin is tuple:
        return [_value(arguments[0], generator) for _ in range(int(generator.integers(1, 4)))]
    if origin is dict or annotation is dict:
        return {}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model(annotation, generator)
    makers: dict[Any, Any] = {
        float: lambda: float(generator.lognormal()),
        int: lambda: int(generator.integers(1, 1000)),
        bool: lambda: bool(generator.random() < 0.5),
        datetime: lambda: START + timedelta(seconds=int(generator.integers(10_000_000))),
    }
    return makers.get(annotation, lambda: f"text{generator.integers(20)}")()
