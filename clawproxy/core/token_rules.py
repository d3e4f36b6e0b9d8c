"""What images and documents cost in tokens, by the vendors' published rules.

* Images: https://docs.anthropic.com/en/docs/build-with-claude/vision (pixels / 750) and
  https://platform.openai.com/docs/guides/images-vision (tiles of 512 pixels, patches of 32).
* PDFs: https://docs.anthropic.com/en/docs/build-with-claude/pdf-support (1,500 to 3,000 tokens a
  page; the upper end is taken, since a client that believes in too few overruns its context).
"""

from __future__ import annotations

import base64
import binascii
import math
import re

PER_PDF_PAGE = 3000
BYTES_PER_PDF_PAGE = 50_000
"""What a page is taken to weigh where a PDF's page objects are compressed and cannot be counted."""

_PDF_PAGE = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")


def pdf_pages(data: str) -> int:
    """Count a PDF's pages: by its page objects, or by its size where those are compressed."""
    try:
        raw = base64.b64decode(data)
    except (binascii.Error, ValueError):
        return 1
    return len(_PDF_PAGE.findall(raw)) or math.ceil(len(raw) / BYTES_PER_PDF_PAGE) or 1


def anthropic_image(size: tuple[int, int] | None) -> int:
    """Give an image's tokens: pixels / 750, after it was fitted into 1,568 pixels and 1.15 MP.

    :param size: width and height; ``None``: not known, taken for the largest.
    """
    if size is None:
        return 1600
    width, height = size
    scale = min(1.0, 1568 / max(width, height))
    return max(1, min(1600, math.ceil(width * scale * height * scale / 750)))


# (Tokens of the image, tokens of each tile), and the multipliers of models that count patches.
_TILES = (
    ("gpt-4o-mini", (2833, 5667)),
    ("gpt-5", (70, 140)),
    ("o1", (75, 150)),
    ("o3", (75, 150)),
    ("", (85, 170)),
)
_PATCHES = (
    ("gpt-5-mini", 1.62),
    ("gpt-4.1-mini", 1.62),
    ("gpt-5-nano", 2.46),
    ("gpt-4.1-nano", 2.46),
    ("o4-mini", 1.72),
)
_MOST_PATCHES = 1536


def openai_image(model: str, size: tuple[int, int] | None, *, low: bool = False) -> int:
    """Give an image's tokens by tiles of 512 pixels or patches of 32, as the model counts.

    :param size: width and height; ``None``: not known, taken for 1,024 by 1,024.
    :param low: ``detail: low`` was asked for.
    """
    width, height = size or (1024, 1024)
    for prefix, factor in _PATCHES:
        if model.startswith(prefix):
            patches = math.ceil(width / 32) * math.ceil(height / 32)
            return math.ceil(min(patches, _MOST_PATCHES) * factor)
    base, tile = next(costs for prefix, costs in _TILES if model.startswith(prefix))
    if low:
        return base
    scale = min(1.0, 2048 / max(width, height))
    scale *= min(1.0, 768 / (min(width, height) * scale))
    # Rounded, or a side of 1,024.0000001 pixels would take a tile more.
    tiles = math.ceil(round(width * scale) / 512) * math.ceil(round(height * scale) / 512)
    return base + tile * max(1, tiles)
