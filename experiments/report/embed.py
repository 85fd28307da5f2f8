"""Matrices and samples as scripts: a page opened from disk may load a script, and may fetch nothing else."""

import base64
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from PIL import Image

from influence.arrays import Array
from influence.data.stored import load_images
from influence.matrix import InfluenceMatrix

SPRITES_PER_ROW = 32

UNSHOWN = ("prob_", "embed_")
"""Columns of sample tables that nobody reads in a tooltip begin like this."""


def script(call: str, *arguments: Any) -> bytes:
    """A script that hands data to a function of the page: `report.addMatrix("<key>", {...});`.

    The data are JSON in ASCII, so that no text of a sample or a configuration is ever code.
    """
    return f"report.{call}({', '.join(json.dumps(one, allow_nan=False) for one in arguments)});\n".encode("ascii")


def arguments(content: bytes) -> list[Any]:
    """What a script of `script` hands over."""
    text = content.decode("ascii")
    found: list[Any] = json.loads(f"[{text[text.index('(') + 1 : text.rindex(')')]}]")
    return found


def matrix_data(matrix: InfluenceMatrix) -> dict[str, Any]:
    """Gains, readouts before and self-gains of a matrix, in single precision, and why probes failed."""
    return {
        "shape": list(matrix.gain.shape),
        "gain": floats(matrix.gain),
        "before": floats(matrix.before),
        "self_gain": floats(matrix.self_gain),
        "unit": str(matrix.readout["unit"]),
        "readout": str(matrix.readout["name"]),
        "failures": matrix.failures,
    }


def floats(array: Float[Array, "..."]) -> str:
    """Base64 of little-endian float32, row by row."""
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode("ascii")


def samples_data(table: pd.DataFrame, images: Path) -> dict[str, Any]:
    """A sample table, column by column, with a sprite sheet where the samples are images.

    Args:
        table: probes or targets of a matrix.
        images: where `influence.data.stored.save_images` wrote the pixels, if it did.
    """
    shown = table[[name for name in table if not str(name).startswith(UNSHOWN)]]
    data: dict[str, Any] = {"columns": {str(name): [_plain(value) for value in shown[name]] for name in shown}}
    if "spans" in shown:
        data["columns"]["spans"] = [json.loads(spans) for spans in shown["spans"]]
    if images.exists():
        data["sprite"] = sprite(np.stack([image[0] for image in load_images(images, table)["image"]]))
    return data


def sprite(images_NHW: Float[Array, "N H W"]) -> dict[str, Any]:
    """One picture of many, from left to right and down: its PNG as a data URI, and how it is divided."""
    count, height, width = images_NHW.shape
    rows = math.ceil(count / SPRITES_PER_ROW)
    sheet = np.zeros((rows * SPRITES_PER_ROW, height, width), np.uint8)
    sheet[:count] = np.round(255 * np.clip(images_NHW, 0, 1))
    pixels = sheet.reshape(rows, SPRITES_PER_ROW, height, width).swapaxes(1, 2)
    stream = io.BytesIO()
    Image.fromarray(pixels.reshape(rows * height, SPRITES_PER_ROW * width)).save(stream, "png")
    uri = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
    return {"uri": uri, "height": height, "width": width, "per_row": SPRITES_PER_ROW, "rows": rows}


def table_data(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A table row by row, None for what is missing."""
    return [{str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    """A number, text or None that JSON knows; infinity, the sigma of noise alone, as text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if isinstance(value, Mapping | list | str | int | float | bool) or value is None else str(value)
