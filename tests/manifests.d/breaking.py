"""How a copy of a bundle gets its fault: one field set, taken out or misspelt, one object too many or too few."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from bundle import SETTINGS, Bundle, Object, title

Break = Callable[[Bundle], None]


# A fault as it is written down: name, bundle, who must see it, how.
Row = tuple[str, str, str, Break]

POSTGRES, SQLITE, SANDBOX, WHOLE = "postgres", "sqlite", "sandbox", "postgres-with-all"
SERVER, SET, JOB = "Deployment/noshi", "StatefulSet/noshi", "Job/noshi-migration"
POD = "spec/template/spec"
MAIN = f"{POD}/containers/0"


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault: its name, the bundle it is put into, how, and who must see it."""

    name: str
    bundle: str
    seen_by: str
    breaks: Break

    @property
    def file(self) -> str:
        return "fault-" + re.sub(r"[^a-z0-9]+", "-", self.name.lower())


def find(bundle: Bundle, name: str) -> Object:
    [found] = [found for found in bundle.objects if title(found) == name]
    return found


def walk(found: Any, path: str) -> tuple[Any, Any]:
    """What holds the field of a path like `spec/ports/api/port`, and the field's key; an element goes by place or name."""
    *way, last = path.split("/")
    for part in way:
        found = found[key_in(found, part)]
    return found, key_in(found, last)


def key_in(found: Any, part: str) -> Any:
    if not isinstance(found, list):
        return part.replace("~", "/")
    if part.isdecimal():
        return int(part)
    return [element["name"] for element in found].index(part)


def put(name: str, path: str, value: Any) -> Break:
    """Sets a field, whether it is there or not."""

    def breaks(bundle: Bundle) -> None:
        inner, key = walk(find(bundle, name), path)
        inner[key] = value

    return breaks


def drop(name: str, path: str) -> Break:
    """Takes a field out."""

    def breaks(bundle: Bundle) -> None:
        inner, key = walk(find(bundle, name), path)
        del inner[key]

    return breaks


def add(name: str, path: str, value: Any) -> Break:
    """Puts an element at the end of a list."""

    def breaks(bundle: Bundle) -> None:
        inner, key = walk(find(bundle, name), path)
        inner[key].append(value)

    return breaks


def rename(name: str, path: str, key: str) -> Break:
    """Misspells a field."""

    def breaks(bundle: Bundle) -> None:
        inner, old = walk(find(bundle, name), path)
        inner[key] = inner.pop(old)

    return breaks


def without(name: str) -> Break:
    """Forgets an object."""
    return lambda bundle: bundle.objects.remove(find(bundle, name))


def also(found: Object) -> Break:
    """Brings an object too many."""
    return lambda bundle: bundle.objects.append(found)


def setting(old: str, new: str) -> Break:
    """Changes the text of the settings."""

    def breaks(bundle: Bundle) -> None:
        found = bundle.config_map_of(bundle.server)
        assert found is not None and old in found["data"][SETTINGS], f"no {old} in the settings"
        found["data"][SETTINGS] = found["data"][SETTINGS].replace(old, new)

    return breaks


def named(kind: str, name: str, **spec: Any) -> Object:
    """A small object of the namespace."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "noshi"}, **spec}
