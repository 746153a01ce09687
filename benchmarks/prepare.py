"""How fast image files become a store on one core, beside what the decoder alone reaches on the same files.

    python benchmarks/prepare.py --images 2000

Makes JPEG files of 256x256 pixels like those of Places365, decodes them into memory only (simplejpeg, at the smallest
scale that suffices), and prepares a store of them, in turn. Prints images per second and the ratio.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageFilter

from sweeps.data.prepare import Options, prepare

ROUNDS = 3


def photographs(folder: Path, count: int) -> None:
    """Noise with the spectrum of photographs (1/f): about as large as Places365's files."""
    generator = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    frequency[0, 0] = 1
    for index in range(count):
        spectrum = np.fft.fft2(generator.standard_normal((3, 256, 256))) / frequency
        pixels = np.fft.ifft2(spectrum).real.transpose(1, 2, 0)
        scaled = 128 + 40 * (pixels - pixels.mean()) / pixels.std()
        image = Image.fromarray(scaled.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.5))
        path = folder / ("val" if index % 10 == 0 else "train") / f"class_{index % 7}" / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=85)


def decode_only(files: list[Path], size: int) -> float:
    """Images per second of the decoder: RGB out, nothing kept."""
    started = time.perf_counter()
    for file in files:
        simplejpeg.decode_jpeg(file.read_bytes(), "RGB", min_height=size, min_width=size)
    return len(files) / (time.perf_counter() - started)


def whole(source: Path, target: Path, size: int, grey: bool, count: int) -> float:
    """Images per second from the listing to the renamed store, checksums included."""
    started = time.perf_counter()
    prepare(source, target, Options("folders", size, grey), lambda *_: None)
    return count / (time.perf_counter() - started)


def main() -> None:
    """Measure in turn, several rounds; the best of each counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photographs(folder / "tree", args.images)
        files = sorted((folder / "tree").rglob("*.jpg"))
        print(
            f"{len(files)} files of {sum(file.stat().st_size for file in files) / len(files) / 1000:.1f} kB on average"
        )
        for size in (64, 128):
            alone, grey, colour = [], [], []
            for index in range(ROUNDS):
                alone.append(decode_only(files, size))
                grey.append(whole(folder / "tree", folder / f"grey_{size}_{index}", size, True, len(files)))
                colour.append(whole(folder / "tree", folder / f"colour_{size}_{index}", size, False, len(files)))
            for kind, rates in (("grey", grey), ("colour", colour)):
                share = max(rates) / max(alone)
                print(
                    f"{size:4d} px {kind:6s}  decoder alone {max(alone):6.0f}/s  whole {max(rates):6.0f}/s  {share:.2f}"
                )


if __name__ == "__main__":
    main()
