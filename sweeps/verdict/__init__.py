"""What a run's readings mean: chance (what guessing scores), rules (what ends a run), judge (readings -> verdict)."""

from sweeps.verdict.chance import Chance
from sweeps.verdict.judge import Fate, Verdict, final_verdict, judge
from sweeps.verdict.rules import Rules

__all__ = ["Chance", "Fate", "Rules", "Verdict", "final_verdict", "judge"]
