"""With this folder in PYTHONPATH processes of the tests do not find some packages that are installed.

Keras does not find scikit-learn and matplotlib, which it imports for wrappers and pictures of its own that no test
uses: its import takes two thirds of the time without them. Others find both. Where WITHOUT_TENSORFLOW is set, nobody
finds TensorFlow and Keras: fast tests need neither.
"""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

FROM_KERAS = ("sklearn", "matplotlib")
FROM_FAST_TESTS = ("tensorflow", "keras")


class _Hide(MetaPathFinder):
    """A finder that says that a hidden package is not installed."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in FROM_FAST_TESTS and "WITHOUT_TENSORFLOW" in os.environ:
            raise ModuleNotFoundError(f"No module named {fullname!r}: the fast tests hide it", name=fullname)
        keras_spec = getattr(sys.modules.get("keras"), "__spec__", None)
        if fullname in FROM_KERAS and getattr(keras_spec, "_initializing", False):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


sys.meta_path.insert(0, _Hide())
