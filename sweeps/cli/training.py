"""The functions that train, imported on request: TensorFlow takes seconds to import and may take hold of a GPU."""

from sweeps.imports import quickly
from sweeps.worker.protocol import Load, Train
from sweeps.worker.rehearsal import CheckNet


def import_training() -> tuple[Train, Load]:
    """Import TensorFlow and Keras; return the functions that train a configuration and load its data."""
    with quickly():
        from sweeps.nn.datasets import load_dataset  # noqa: PLC0415  TensorFlow
        from sweeps.nn.train import train  # noqa: PLC0415  TensorFlow
    return train, load_dataset


def import_net_checks() -> CheckNet:
    """Import Keras; return the function that checks a user's net."""
    with quickly():
        from sweeps.nn.net_checks import check_net  # noqa: PLC0415  TensorFlow
    return check_net


def prepare_device() -> str:
    """Set TensorFlow up for one worker on one device; return the name of the device: CPU or GPU:0."""
    with quickly():
        from sweeps.nn import device  # noqa: PLC0415  TensorFlow
    device.prepare_device()
    return device.device_name()
