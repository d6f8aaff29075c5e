"""The faults that must be seen: each breaks a rendered bundle in one place, and names the check that is there for it.

A check that sees nothing is worse than none: check.py fails where a sentence of a rule is said about no fault.
"""

from breaking import Fault

from . import judges, network, objects, pods, rollout, settings

ALL = [Fault(*row) for part in (judges, pods, settings, rollout, network, objects) for row in part.ROWS]
