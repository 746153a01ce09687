"""Files of every kind that data sets hold, against what Pillow and NumPy make of them."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sweeps.data.prepare.decode import decode_image, find_depth, read_image_file
from sweeps.data.prepare.lightness import convert_to_lightness

# A smooth picture, so that compression changes little: red grows to the right, green downwards.
RAMP = np.linspace(0, 255, 64)
PIXELS = np.stack(np.broadcast_arrays(RAMP[None, :], RAMP[:, None], np.full((64, 64), 90.0)), axis=-1).astype(np.uint8)
COLOUR = Image.fromarray(PIXELS)


def file_of(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 95, "subsampling": 0} | options if kind == "JPEG" else options))
    return buffer.getvalue()


def shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """64x64 to 16x16 by the mean of each 4x4 block."""
    small: NDArray[np.float64] = pixels.reshape(16, 4, 16, 4, -1).astype(float).mean(axis=(1, 3))
    return small


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_colour_files_of_each_kind_come_out_as_the_mean_of_the_pixels(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode_image(file_of(COLOUR, kind, **options), 16, grey=False)
    assert decoded.shape == (16, 16, 3)
    assert np.abs(decoded - shrunk(PIXELS))[1:-1, 1:-1].max() < 6


def test_grey_is_lightness_and_a_grey_file_in_colour_has_three_equal_channels() -> None:
    grey = decode_image(file_of(COLOUR), 16, grey=True)
    assert np.abs(grey - shrunk(convert_to_lightness(PIXELS)))[1:-1, 1:-1].max() < 6
    single = Image.fromarray(PIXELS[..., 0])
    grey = decode_image(file_of(single), 16, grey=True)
    assert np.abs(grey - shrunk(convert_to_lightness(PIXELS[..., :1])))[:, 1:-1].max() < 6
    colour = decode_image(file_of(single), 16, grey=False)
    assert colour.shape == (16, 16, 3)
    assert (colour == colour[..., :1]).all()


def test_cmyk_palettes_and_transparency_are_colours_like_others() -> None:
    for data in (
        file_of(COLOUR.convert("CMYK"), subsampling=-1),
        file_of(COLOUR.convert("RGBA"), "PNG"),
        file_of(COLOUR.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
    ):
        assert np.abs(decode_image(data, 16, grey=False) - shrunk(PIXELS))[1:-1, 1:-1].max() < 16


def test_sixteen_bits_become_the_upper_eight() -> None:
    deep = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    assert deep.mode.startswith("I;16")
    assert np.array_equal(decode_image(file_of(deep, "PNG"), 64, grey=True), convert_to_lightness(PIXELS[..., :1]))


def transparent(mode: str) -> Image.Image:
    """Return a black square on a transparent ground, which is black too where its alpha is not looked at."""
    alpha = np.zeros((16, 16), np.uint8)
    alpha[4:12, 4:12] = 255
    if mode == "P":
        image = Image.fromarray((alpha > 0).astype(np.uint8)).convert("P")
        image.putpalette([0, 0, 0, 0, 0, 0])
        return image
    channels = len(mode)
    return Image.fromarray(np.dstack([*[np.zeros_like(alpha)] * (channels - 1), alpha]))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("grey", [True, False])
def test_what_is_transparent_is_white(mode: str, grey: bool) -> None:
    options = {"transparency": 0} if mode == "P" else {}
    decoded = decode_image(file_of(transparent(mode), "PNG", **options), 16, grey)
    expected = np.full((16, 16, 1 if grey else 3), 255)
    expected[4:12, 4:12] = 0
    assert np.array_equal(decoded, expected)


def test_half_transparent_colours_are_mixed_with_white() -> None:
    pixels = np.dstack([PIXELS, np.full((64, 64), 128, np.uint8)])
    decoded = decode_image(file_of(Image.fromarray(pixels), "PNG"), 64, grey=False)
    expected = PIXELS * (128 / 255) + 255 * (1 - 128 / 255)
    assert np.abs(decoded - expected).max() <= 1


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_the_smallest_depth_that_holds_all_files_is_taken_for_each(bits: int) -> None:
    ramp = (np.arange(64 * 64).reshape(64, 64) * 2**bits // 4096).astype(np.uint16)
    dark = ramp // 32
    files = [file_of(Image.fromarray(pixels), "TIFF") for pixels in (ramp, dark, ramp.astype(np.int32))]
    depth = find_depth([*files, b"no image", file_of(COLOUR)])
    assert depth == bits
    for data, pixels in zip(files, (ramp, dark, ramp), strict=True):
        decoded = decode_image(data, 64, grey=False, depth=depth)
        assert np.array_equal(decoded[..., 0], pixels // 2 ** (bits - 8))
    with pytest.raises(ValueError, match="are understood"):
        decode_image(file_of(Image.fromarray(ramp.astype(np.int32) * 2 + 2), "TIFF"), 64, grey=False, depth=depth)
    assert find_depth([file_of(COLOUR)]) == 16


def test_floats_are_from_zero_to_one_or_to_255() -> None:
    share = (PIXELS[..., 0] / 255).astype(np.float32)
    for image in (share, PIXELS[..., 0].astype(np.float32)):
        assert np.array_equal(decode_image(file_of(Image.fromarray(image), "TIFF"), 64, False)[..., 0], PIXELS[..., 0])


def test_numbers_without_a_known_white_are_refused() -> None:
    deep = PIXELS[..., 0].astype(np.int32) * 2**20
    negative = PIXELS[..., 0].astype(np.int32) - 300
    floats = PIXELS[..., 0].astype(np.float32)
    for pixels in (deep, negative, floats * 100, floats - 1, floats * np.float32(np.nan)):
        with pytest.raises(ValueError, match="pixels"):
            decode_image(file_of(Image.fromarray(pixels), "TIFF"), 16, grey=True)


@pytest.mark.parametrize(("background", "rgb"), [("black", (0, 0, 0)), ("#ff8000", (255, 128, 0))])
def test_what_is_transparent_may_have_another_background(background: str, rgb: tuple[int, ...]) -> None:
    for mode in ("RGBA", "LA"):
        decoded = decode_image(file_of(transparent(mode), "PNG"), 16, False, background)
        assert (decoded[0, 0] == rgb).all()
        assert (decoded[8, 8] == 0).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_that_was_turned_gives_an_upright_picture(orientation: int) -> None:
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored so, it is turned back by 270 degrees
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = COLOUR if turn is None else COLOUR.transpose(turn)
    decoded = decode_image(file_of(stored, exif=exif), 16, grey=False)
    assert np.abs(decoded - shrunk(PIXELS))[1:-1, 1:-1].max() < 6


@pytest.mark.parametrize(("height", "width"), [(64, 200), (200, 64), (37, 53), (16, 16), (5, 9), (1, 1)])
def test_any_shape_gives_its_centred_square(height: int, width: int) -> None:
    stripes = np.zeros((height, width, 3), np.uint8)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    stripes[top : top + side + 1, left : left + side + 1] = 200
    for kind in ("JPEG", "PNG"):
        decoded = decode_image(file_of(Image.fromarray(stripes), kind), 16, grey=False)
        assert decoded.shape == (16, 16, 3)
        assert np.abs(decoded[2:-2, 2:-2].astype(int) - 200).max() < 30


@pytest.mark.parametrize("grey", [True, False])
def test_files_that_are_no_whole_image_are_refused(grey: bool) -> None:
    jpeg, png = file_of(COLOUR), file_of(COLOUR, "PNG")
    for data in (b"", b"not an image", jpeg[: len(jpeg) // 2], png[: len(png) // 2], jpeg[:10], b"\xff\xd8\xff"):
        with pytest.raises(ValueError, match=r"."):
            decode_image(data, 16, grey)


def test_an_image_that_would_fill_the_memory_is_refused() -> None:
    wide = file_of(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(wide) < 2**20
    with pytest.raises(ValueError, match="20000x20000 pixels"):
        decode_image(wide, 32, grey=True)
    assert decode_image(file_of(Image.new("1", (10_000, 10_000)), "PNG"), 32, grey=True).shape == (32, 32, 1)


def test_what_is_no_ordinary_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match="no ordinary file"):
        read_image_file(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match="no ordinary file"):
        read_image_file(Path("/dev/zero"))
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ValueError, match=r"2\.1 GB"):
        read_image_file(tmp_path / "huge.png")
