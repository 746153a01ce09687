"""What a run's readings mean: readings -> verdict.

chance: what guessing scores. evidence: is a run above it. rules: mechanisms of death. features, prognosis: what becomes
of a run. calibration: how low a prognosis may be. judge: all together. recorded: runs in files.
"""

from sweeps.verdict.calibration import NO_LIMIT, CalibrationPoint, Limit, calibrated_limit, is_control
from sweeps.verdict.chance import Chance
from sweeps.verdict.judge import EXAMINED, NUMERICAL, Fate, Verdict, final_verdict, judge, verdict_at_end
from sweeps.verdict.rules import Rules

__all__ = [
    "EXAMINED",
    "NO_LIMIT",
    "NUMERICAL",
    "CalibrationPoint",
    "Chance",
    "Fate",
    "Limit",
    "Rules",
    "Verdict",
    "calibrated_limit",
    "final_verdict",
    "is_control",
    "judge",
    "verdict_at_end",
]
