"""Buckets of S3 and Google Cloud Storage through Optuna's artifact stores; clients are imported when one is used."""

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, BinaryIO

from sweeps.errors import InputError, one_line

if TYPE_CHECKING:
    from sweeps.optuna_private import ArtifactStore

BUCKETS = {"s3": "boto3", "gs": "google-cloud-storage"}  # scheme: the package that knows it
CLIENTS = {"boto3", "botocore", "google", "requests", "s3transfer", "urllib3"}  # whose errors may be quoted
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_API_KEY")


class BucketStore:
    """Optuna's artifact store of a bucket, below a prefix, whose errors are one line without secrets.

    Every method raises OSError where the object store refuses or cannot be reached.
    """

    def __init__(self, scheme: str, bucket: str, prefix: str) -> None:
        self._prefix = f"{prefix}/" if prefix else ""
        self._shown = f"{scheme}://{bucket}/{self._prefix}".rstrip("/")
        try:
            self._store = _make_client(scheme, bucket)
        except ImportError as exc:
            package = BUCKETS[scheme]
            raise InputError(f"{self._shown}: {package} is not installed; pip install {package}") from exc
        except Exception as exc:  # noqa: BLE001  each client has its own, and a chained one would print its own text
            raise InputError(
                f"{self._shown}: its client cannot start ({_client_message(exc)}); check its settings"
            ) from None

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Return the whole content, read: half of it is of no use, and a broken line shows here.

        Raises:
            ArtifactNotFound: there is none.
        """
        with self._errors_in_one_line(), closing(self._store.open_reader(self._prefix + artifact_id)) as file:
            return io.BytesIO(file.read())

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store the content, as Optuna's artifact store does."""
        with self._errors_in_one_line():
            self._store.write(self._prefix + artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact, as Optuna's artifact store does.

        Raises:
            ArtifactNotFound: there is none; S3 does not say.
        """
        from optuna.artifacts.exceptions import ArtifactNotFound  # noqa: PLC0415  imports every client

        with self._errors_in_one_line():
            try:
                self._store.remove(self._prefix + artifact_id)
            except Exception as exc:
                if getattr(exc, "code", None) == 404:  # as Google's client says it
                    raise ArtifactNotFound("not found") from exc
                raise

    @contextmanager
    def _errors_in_one_line(self) -> Iterator[None]:
        from optuna.artifacts.exceptions import ArtifactNotFound  # noqa: PLC0415  imports every client

        try:
            yield
        except ArtifactNotFound as exc:
            if "NoSuchBucket" in str(exc.__cause__):
                raise OSError(f"{self._shown}: {_client_message(exc.__cause__ or exc)}") from None
            raise
        except Exception as exc:  # noqa: BLE001  each client has its own, and a chained one would print its own text
            raise OSError(f"{self._shown}: {_client_message(exc)}") from None


def _make_client(scheme: str, bucket: str) -> "ArtifactStore":
    from optuna.artifacts import Boto3ArtifactStore, GCSArtifactStore  # noqa: PLC0415  imports every client
    from optuna.exceptions import ExperimentalWarning  # noqa: PLC0415

    if scheme == "s3":
        return Boto3ArtifactStore(bucket)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return GCSArtifactStore(bucket)


def _client_message(exc: BaseException) -> str:
    """Return what a client says, without what lets anyone in; of anything else only the kind is safe to say."""
    kind = type(exc).__name__
    if type(exc).__module__.partition(".")[0] not in CLIENTS:
        return kind
    text = re.sub(r"://[^\s\"']*@", "://***@", one_line(exc))
    text = re.sub(r"\?[^\s\"')]*", "?***", text)  # a signed address
    for name in SECRETS:
        text = text.replace(os.environ.get(name) or "\0", "***")
    return f"{kind}: {text}"
