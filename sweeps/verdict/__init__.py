"""What a run's readings mean: readings -> verdict.

chance: what guessing scores. evidence: is a run above it. rules: mechanisms of death. features, prognosis: what becomes
of a run. calibration: how low a prognosis may be. judge: all together. recorded: runs in files.
"""

from sweeps.verdict.calibration import NO_LIMIT, Ended, Limit, is_control, limit
from sweeps.verdict.chance import Chance
from sweeps.verdict.judge import Fate, Verdict, ended, final_verdict, judge
from sweeps.verdict.rules import Rules

__all__ = [
    "NO_LIMIT",
    "Chance",
    "Ended",
    "Fate",
    "Limit",
    "Rules",
    "Verdict",
    "ended",
    "final_verdict",
    "is_control",
    "judge",
    "limit",
]
