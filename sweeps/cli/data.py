"""`sweeps data`: decode image files for training, and show what was decoded."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from PIL import Image, ImageColor
from PIL.PngImagePlugin import PngInfo
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sweeps.cli.consoles import print_line, stdout_console
from sweeps.data import prepare as preparation
from sweeps.data.prepare import describe
from sweeps.data.prepare.decode import DEPTHS
from sweeps.errors import InputError
from sweeps.files import replacing
from sweeps.outputs import PICTURE_MARK, require_marked
from sweeps.surfaces import quote_argument, quote_word
from sweeps.wording import count_noun

LINE_INTERVAL_S = 10  # from one line of progress to the next, where there is no terminal

app = typer.Typer(help="Prepare image files for sweeps, and look at what was prepared.", no_args_is_help=True)


LayoutOption = Annotated[
    Literal["places365", "places365-lists", "folders"],
    typer.Option(
        help="places365: train/CLASS/*.jpg and val/CLASS/*.jpg as in its easy format; places365-lists: data_256, "
        "val_256 and file lists; folders: CLASS folders in train and val "
        "(or Training and Testing and so on), or alone with every tenth image held out."
    ),
]
ClassesOption = Annotated[
    int | None, typer.Option(min=2, help="The first N classes. Default: all.", show_default=False)
]
ImagesPerClassOption = Annotated[
    int | None,
    typer.Option(min=1, help="At most so many training images per class. Default: all.", show_default=False),
]
ProcessesOption = Annotated[
    int | None, typer.Option(min=1, help="Decoding processes. Default: one per processor.", show_default=False)
]


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The folder with the images.")],
    to: Annotated[Path, typer.Option("--to", metavar="STORE", help="The store to make: a folder of this name.")],
    layout: LayoutOption,
    size: Annotated[int, typer.Option(min=8, help="Pixels on each side: the centred square, resized.")] = 64,
    grey: Annotated[
        bool, typer.Option("--grey/--colour", help="One channel of CIE L*, or three of sRGB.", show_default="colour")
    ] = False,
    classes: ClassesOption = None,
    images_per_class: ImagesPerClassOption = None,
    processes: ProcessesOption = None,
    background: Annotated[
        str, typer.Option(metavar="COLOUR", help="Behind transparent pixels: a name such as black, or #rrggbb.")
    ] = "white",
    skip_limit: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of files that may be damaged and left out.")
    ] = 0.01,
) -> None:
    """Decode a tree of image files into a store that workers map into memory.

    Interrupted, even by a power cut, the same command goes on where it was. Damaged files are left out and listed in
    skipped.tsv within the store.
    """
    try:
        ImageColor.getrgb(background)
    except ValueError as exc:
        raise InputError(f"--background {background}: is no colour; write a name such as black, or #rrggbb") from exc
    options = preparation.Options(
        layout,
        size=size,
        grey=grey,
        classes=classes,
        images_per_class=images_per_class,
        processes=processes or os.cpu_count() or 1,
        skip_limit=skip_limit,
        background=background,
    )
    progress = DecodingProgress(to)
    try:
        info = preparation.prepare(source, to, options, progress)
    except KeyboardInterrupt:
        progress.stop_bar()
        print_line("stopped; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        progress.stop_bar()
    if info.origin["depth"] < DEPTHS[-1]:
        print_line(f"files of 16 bits are taken to hold {info.origin['depth']}: no pixel is higher", file=sys.stderr)
    for name in info.origin["empty_classes"]:
        print_line(f"left out: class {name!r} has no images", file=sys.stderr)
    for described in info.origin["left_out"]:
        print_line(f"left out: {described}", file=sys.stderr)
    for suffix, count in info.origin["other_files"].items():
        print_line(f"left out: {count_noun(count, 'file')} ending in {suffix or 'no suffix'}", file=sys.stderr)
    for name in info.origin["without_holdout"]:
        print_line(
            f"warning: class {name!r} has no hold-out images: add some, or its hits are never counted", file=sys.stderr
        )
    if info.origin["skipped"]:
        files = count_noun(info.origin["skipped"], "damaged file")
        print_line(f"left out: {files}, see {to / 'skipped.tsv'}", file=sys.stderr)
    counts = " and ".join(f"{split.images:,} {name}" for name, split in info.splits.items())
    print_line(f"{to}: {counts} images of {len(info.classes)} classes")
    picture = quote_word(f"{to}.png")
    print_line(f"next: sweeps data info --picture {picture} {quote_argument(str(to))}")


class DecodingProgress:
    """The display of files decoded, rate and time left: a bar on a terminal, else a line now and then."""

    def __init__(self, to: Path) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]} images/s"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[skipped]}"),
            console=self._console,
        )
        self._task = self._bar.add_task(str(to), total=None, rate="-", skipped="")
        self._first: tuple[float, int] | None = None
        self._last_line_s = 0.0

    def __call__(self, done: int, total: int, skipped: int) -> None:
        """Show how many files are done."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
            self._bar.start()
        first_s, first_done = self._first
        rate = (done - first_done) / max(now - first_s, 1e-9)
        remark = ""
        if skipped:
            remark = f"{skipped} damaged"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, total=total, rate=f"{rate:,.0f}", skipped=remark)
        elif rate and (now - self._last_line_s > LINE_INTERVAL_S or done == total):
            self._last_line_s = now
            minutes = (total - done) / rate / 60
            line = f"{done:,} of {total:,} files, {rate:,.0f}/s, {minutes:.0f} min left"
            if remark:
                line += f", {remark}"
            print_line(line, file=sys.stderr)

    def stop_bar(self) -> None:
        """Stop the bar, if there is one."""
        if self._first is not None and self._console.is_terminal:
            self._bar.stop()


@app.command()
def info(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A prepared store.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Write a sheet of sample images.", show_default=False)
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare the checksums; reads everything.")] = False,
) -> None:
    """Show what is in a store: counts, class balance, mean and spread, sample pictures."""
    if picture is not None:
        require_marked(picture, PICTURE_MARK, "--picture")
    values = describe.describe_store(store)
    if verify and (damaged := describe.damaged_files(store)):
        raise InputError(f"{store}: {', '.join(damaged)} is not what was written; prepare the store again")
    if picture is not None:
        _write_picture(picture, describe.draw_samples(store))
    if as_json:
        print(json.dumps(values, indent=2))
        return
    _print_description(values, stdout_console())
    if verify:
        print_line("checksums agree")


def _write_picture(path: Path, image: Image.Image) -> None:
    marks = PngInfo()
    marks.add_text("Software", PICTURE_MARK)
    try:
        with replacing(path) as partial:
            image.save(partial, format="PNG", pnginfo=marks)
    except OSError as exc:
        raise InputError(f"{path}: {exc.strerror or exc}; give --picture a file that can be written") from exc


def _print_description(values: dict[str, Any], console: Console) -> None:
    origin = values["origin"]
    colour = "colour (sRGB)"
    if values["channels"] == 1:
        colour = "grey (CIE L*)"
    console.print(
        f"{values['path']}: {values['classes']} classes, {values['height']}x{values['width']} {colour}, "
        f"{values['bytes'] / 1e9:.3g} GB, made {origin['made']}\n"
        f"from {origin['source']} ({origin['layout']}), {count_noun(origin['skipped'], 'damaged file')} left out",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    table = Table(
        "split", "images", "fewest of a class", "most of a class", "chance top-1", "entropy", "mean", "spread"
    )
    for name in ("train", "holdout"):
        split = values[name]
        table.add_row(
            name,
            f"{split['images']:,}",
            f"{split['fewest_of_a_class']} ({split['fewest_class']})",
            f"{split['most_of_a_class']} ({split['most_class']})",
            f"{100 * split['chance_top1']:.2f} %",
            f"{split['entropy']:.4f}",
            " ".join(f"{value:.3f}" for value in split["mean"]),
            " ".join(f"{value:.3f}" for value in split["spread"]),
        )
    console.print(table)
