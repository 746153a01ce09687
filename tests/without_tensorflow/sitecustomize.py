"""With this folder in PYTHONPATH no process of the tests can import TensorFlow or Keras: fast tests need neither."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

HIDDEN = ("tensorflow", "keras")


class _Hide(MetaPathFinder):
    """A finder that says that a hidden package is not installed."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {fullname!r}: the fast tests hide it", name=fullname)
        return None


sys.meta_path.insert(0, _Hide())
