import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.tensorflow


def test_the_script_of_a_user_runs_and_tells_what_became_of_each_trial() -> None:
    script = Path(__file__).with_name("own_script.py")
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert len(lines) == 10
    assert any("collapsed at step" in line or "diverged at step" in line for line in lines)
    assert any("ended with a loss of 0" in line for line in lines)
