"""Our own rules: what neither a schema nor a scanner knows about this service.

A rule is a function from a bundle to what is wrong with it. Its name is how faults/ say which rule must see a fault.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from types import GeneratorType

from bundle import Bundle

Rule = Callable[[Bundle], Iterator[str]]
ALL: dict[str, Rule] = {}

# A place in a rule where something is found wrong: the file's name and the line.
Sentence = tuple[str, int]
SAID: set[Sentence] = set()


def rule(function: Rule) -> Rule:
    """Registers a rule under the function's name."""
    ALL[function.__name__] = function
    return function


def findings(bundle: Bundle) -> dict[str, list[str]]:
    """What each rule finds. A rule that cannot read the bundle has found something as well."""
    found: dict[str, list[str]] = {}
    for name, check in ALL.items():
        try:
            wrong = list(listen(check(bundle)))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            wrong = [f"cannot be judged: {type(error).__name__}: {error}"]
        if wrong:
            found[name] = wrong
    return found


def listen(finding: Iterator[str]) -> Iterator[str]:
    """Passes findings on, and keeps where each came from."""
    for text in finding:
        inner = finding
        while isinstance(inner, GeneratorType) and isinstance(inner.gi_yieldfrom, GeneratorType):
            inner = inner.gi_yieldfrom
        assert isinstance(inner, GeneratorType)
        SAID.add((Path(inner.gi_code.co_filename).name, inner.gi_frame.f_lineno))
        yield text


def sentences() -> set[Sentence]:
    """Every place where a rule can find something wrong: where it yields a text."""
    found = set()
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Yield) and isinstance(node.value, ast.Constant | ast.JoinedStr):
                found.add((path.name, node.lineno))
    return found


from . import network, objects, pods, rollout, settings  # noqa: E402, F401  (they register themselves)
