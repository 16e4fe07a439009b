"""Bringing things into an HTML page: figures in the page's colours and with ids of their own, data, scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass

from markupsafe import Markup

from multidir.errors import FormatError
from multidir.report.plot import Plot
from multidir.report.style import TONES

REM_PER_POINT = 0.0972
"""Figures are shown a sixth larger than they are drawn."""

_REFERENCE = re.compile(r'(?:url\(#|href="#)([^")]+)')


@dataclass(frozen=True)
class FigureView:
    """What the page template needs to know about one figure."""

    anchor: str
    wide: Markup
    narrow: Markup | None
    csv_name: str
    csv_address: str


def view(plot: Plot, anchor: str, as_png: bool = False) -> FigureView:
    """Prepare a figure for the page.

    Args:
        plot: the figure.
        anchor: id of the figure, unique in the page; ids inside the drawing start with it.
        as_png: embed the pixels instead of the drawing (for figures with very many marks).
    """
    csv = address("text/csv", plot.csv().encode())
    name = f"{plot.name}.csv"
    if as_png:
        image = Markup('<img class="drawing" src="{}" alt="{}">')
        return FigureView(anchor, image.format(address("image/png", plot.png()), alternative(plot)), None, name, csv)
    wide = inline_svg(plot.svg(), f"{anchor}-w", plot.title, plot.reading)
    if plot.narrow is None:
        return FigureView(anchor, wide, None, name, csv)
    narrow = inline_svg(plot.svg(narrow=True), f"{anchor}-n", plot.title, plot.reading)
    return FigureView(anchor, wide, narrow, name, csv)


def alternative(plot: Plot) -> str:
    """Text in place of the picture."""
    return f"{plot.title}. {plot.reading}"


def address(media_type: str, data: bytes) -> str:
    """A data address: the bytes stand in the page itself."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def script_data(content: object) -> Markup:
    """JSON that can stand in a script element: no sign ends it, and no lone surrogate ends the browser."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def script_hash(script: str) -> str:
    """What a content security policy calls a script that may run; no other one may."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def inline_svg(svg: str, prefix: str, title: str, description: str) -> Markup:
    """One `<svg>` element fit for a page that holds several.

    The declaration, the metadata and the style sheet of the file go; ids that nothing refers to go and the
    others get a prefix; literal colours become variables of the page, so that the drawing follows its light and
    dark; the size is left to the page.

    Args:
        svg: an SVG file written by `Plot.svg`.
        prefix: start of every id inside, unique in the page.
        title: name of the drawing, read out by screen readers.
        description: the reading of the drawing.
    Raises:
        FormatError: the drawing does not say how large it is.
    """
    body = svg[svg.index("<svg") :].strip()
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\s*<style type="text/css">.*?</style>', "", body, flags=re.DOTALL)
    body = _own_ids(re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL), prefix)
    for tone in TONES:
        body = body.replace(tone.light, f"var({tone.variable})")
    opening, rest = body.split(">", 1)
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', opening)
    if box is None:
        raise FormatError(f"the drawing {title!r} has no viewBox, so it cannot be scaled; write it with Plot.svg")
    label = Markup('<title id="{0}-t">{1}</title><desc id="{0}-d">{2}</desc>').format(prefix, title, description)
    # a width in rem per point keeps the letters of all figures equally large, whatever their shape
    width = Markup('style="max-width:{:.1f}rem" ').format(float(box[1]) * REM_PER_POINT)
    head = Markup('<svg class="drawing" xmlns:xlink="http://www.w3.org/1999/xlink" {} ').format(Markup(box[0]))
    head += width + Markup('role="img" aria-labelledby="{0}-t {0}-d">').format(prefix)
    return head + label + Markup(re.sub(r"\n\s*", "\n", rest))


def _own_ids(body: str, prefix: str) -> str:
    used = set(_REFERENCE.findall(body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", body)
    return re.sub(r'(url\(#|href="#)([^")]+)', rf"\g<1>{prefix}-\g<2>", body)
