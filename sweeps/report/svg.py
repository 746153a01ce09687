"""Figures as SVG elements that stand in a page: text stays text, nothing collides with the page or is forbidden in it.

matplotlib's own files are whole documents: they style every element of the page that they are put into, use the same
ids, and have style attributes, which a strict content security policy does not let through.
"""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sweeps",  # the same figure gives the same text
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
}
FONTS = "DejaVu Sans, Verdana, Segoe UI, Helvetica, Arial, sans-serif"  # the first is what widths were measured with
DOTS_PER_INCH = 110  # of what is an image
INHERITED = {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # what the style that was taken out said
COORDINATES = ("d", "x", "y", "transform", "points")
DIGITS = re.compile(r"-?\d+\.\d{3,}")  # of coordinates: a hundredth of a point is enough

ElementTree.register_namespace("", SVG)


def render_svg(draw: Callable[[], Figure], key: str, title: str) -> str:
    """Return a figure as an `svg` element, as wide as there is room.

    Args:
        draw: makes the figure.
        key: begins the ids in it; unique in the page.
        title: what it shows, for those who cannot see it.
    """
    written = io.StringIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's fonts may have it
        draw().savefig(written, format="svg", dpi=DOTS_PER_INCH, metadata={"Date": None})
    root = ElementTree.fromstring(written.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    _simplify_svg(root, key)
    for size in ("width", "height"):
        root.attrib.pop(size)
    root.attrib |= {"role": "img", "aria-label": title, "font-family": FONTS}
    root.attrib |= INHERITED
    return ElementTree.tostring(root, encoding="unicode")


def _simplify_svg(root: ElementTree.Element, key: str) -> None:
    """Turn styles into attributes, keep only the ids that are used, make them unique to this figure, and shorten
    numbers.
    """
    for node in root.iter():
        for declaration in node.attrib.pop("style", "").split(";"):
            name, _, value = (part.strip() for part in declaration.partition(":"))
            if name == "font":
                node.attrib |= _split_font(value)
            elif name:
                node.attrib[name] = value
        node.attrib.pop("font-family", None)
        if target := node.attrib.pop(f"{{{XLINK}}}href", ""):
            node.attrib["href"] = target
        node.text = node.text and node.text.strip()
        node.tail = node.tail and node.tail.strip()
    used_ids = set(re.findall(r"#([\w.-]+)", " ".join(value for node in root.iter() for value in node.attrib.values())))
    for node in root.iter():
        node_id = node.attrib.pop("id", "")
        if node_id in used_ids:
            node.attrib["id"] = f"{key}-{node_id}"
        for name, value in node.attrib.items():
            if name == "href" and value.startswith("#"):
                node.attrib[name] = f"#{key}-{value[1:]}"
            elif "url(#" in value:
                node.attrib[name] = value.replace("url(#", f"url(#{key}-")
            elif name in COORDINATES:
                shorter = DIGITS.sub(lambda match: f"{float(match[0]):.2f}", value)
                node.attrib[name] = " ".join(shorter.split())


def _split_font(shorthand: str) -> dict[str, str]:
    """Return the attributes of a font such as `bold 10px 'A', sans-serif`, which matplotlib 3.10 writes."""
    attributes = {}
    if size := re.search(r"[\d.]+px", shorthand):
        attributes["font-size"] = size[0]
    if re.search(r"\b(bold|[6-9]00)\b", shorthand):
        attributes["font-weight"] = "bold"
    return attributes
