"""With this folder in PYTHONPATH Keras is imported without scikit-learn and matplotlib, in two thirds of the time.

Keras imports both where they are installed, for wrappers and pictures of its own that no test uses. Whoever else asks
for them gets them.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

HIDDEN = ("sklearn", "matplotlib")


class _HideFromKeras(MetaPathFinder):
    """A finder that says that a package is not installed while Keras is being imported."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname in HIDDEN and getattr(getattr(sys.modules.get("keras"), "__spec__", None), "_initializing", False):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


sys.meta_path.insert(0, _HideFromKeras())
