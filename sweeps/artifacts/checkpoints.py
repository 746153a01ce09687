"""Checkpoints: what a trial needs to go on on another machine as if nothing had happened, one file for each trial."""

import json
import struct
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

from sweeps.artifacts.locations import ArtifactLocation
from sweeps.readings import Reading

MAGIC = b"sweepckp"
VERSION = 1
HEADER = struct.Struct(">8sHQQ")  # magic, version, bytes of the compressed JSON, bytes of the state
DIGEST = 32  # bytes, at the end, over all before
LONGEST = 255  # bytes of a file name
PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789_-"  # of a study's name, kept as they are


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trial between two steps.

    Attributes:
        config: as `Config.to_json` gives it: only the same trial goes on from here.
        step: of the last reading, or further.
        readings: all that were given so far.
        state: all else that training depends on; opaque here.
    """

    config: str
    step: int
    readings: tuple[Reading, ...]
    state: bytes

    def to_bytes(self) -> bytes:
        """Return one file's content: header, compressed JSON, state, digest."""
        values = {
            "config": self.config,
            "step": self.step,
            "readings": [reading.to_dict() for reading in self.readings],
        }
        packed = zlib.compress(json.dumps(values).encode())
        parts = (HEADER.pack(MAGIC, VERSION, len(packed), len(self.state)), packed, self.state)
        return b"".join((*parts, _new_digest(*parts)))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Return the inverse of `to_bytes`.

        Raises:
            ValueError: no checkpoint, of another version, not whole, or damaged.
        """
        packed, state = _open_checkpoint(content)
        try:
            values = json.loads(zlib.decompress(packed))
            readings = tuple(Reading.from_dict(value) for value in values["readings"])
            return cls(values["config"], values["step"], readings, bytes(state))
        except (zlib.error, AttributeError, KeyError, TypeError) as exc:
            raise ValueError(f"readings of another version of sweeps ({type(exc).__name__})") from exc


class Checkpoints:
    """Of one study in one place."""

    def __init__(self, place: ArtifactLocation, study: str) -> None:
        self._place = place
        self._folder = f"checkpoints/{_file_name(study)}"

    def save(self, trial: int, checkpoint: Checkpoint) -> None:
        """Keep a trial's checkpoint instead of the one before.

        Raises:
            OSError: it cannot be written; the one before is still there.
        """
        self._place.write(self._path_of(trial), checkpoint.to_bytes())

    def load(self, trial: int, config: str) -> Checkpoint | None:
        """Return a trial's checkpoint; None, so that the trial starts over, where there is none, or it is damaged, or
        it is of another config.

        Raises:
            OSError: the place cannot be read; whether there is one is not known.
        """
        content = self._place.read(self._path_of(trial))
        if content is None:
            return None
        try:
            checkpoint = Checkpoint.from_bytes(content)
        except ValueError:
            return None
        if checkpoint.config == config:
            return checkpoint
        return None

    def remove(self, trial: int) -> None:
        """Remove a trial's checkpoint, if there is one.

        Raises:
            OSError: it cannot be removed.
        """
        self._place.remove(self._path_of(trial))

    def _path_of(self, trial: int) -> str:
        return f"{self._folder}/{trial}.ckpt"


def _open_checkpoint(content: bytes) -> tuple[memoryview, memoryview]:
    """Return the compressed JSON and the state of a file that is whole."""
    view = memoryview(content)
    if len(view) < HEADER.size or bytes(view[: len(MAGIC)]) != MAGIC:
        raise ValueError("no checkpoint")
    _, version, packed, state = HEADER.unpack(view[: HEADER.size])
    if version != VERSION:
        raise ValueError(f"a checkpoint of version {version}, not {VERSION}")
    end = HEADER.size + packed + state
    if len(view) != end + DIGEST:
        raise ValueError(f"a checkpoint of {end + DIGEST} bytes has {len(view)}")
    if _new_digest(view[:end]) != view[end:]:
        raise ValueError("a checkpoint whose digest does not fit: it is damaged")
    return view[HEADER.size : HEADER.size + packed], view[HEADER.size + packed : end]


def _new_digest(*parts: bytes | memoryview) -> bytes:
    digest = blake2b(digest_size=DIGEST)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _file_name(study: str) -> str:
    """Return a name that any file system and object store takes; different for each study.

    Capital letters are written by number like all that is unusual: not every file system tells them from small ones.
    """
    name = "".join(chr(byte) if byte in PLAIN else f"%{byte:02X}" for byte in study.encode(errors="surrogatepass"))
    if len(name) > LONGEST:
        digest = blake2b(name.encode(), digest_size=DIGEST).hexdigest()
        return f"{name[: LONGEST - 1 - len(digest)]}={digest}"
    return name or "="
