"""`posestream camera`: what a calibration says, in another form, and whether it can be right."""

import enum
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from nodes.vision.camera import Camera

app = typer.Typer(
    help="Show, convert or check the calibration of a camera.",
    rich_markup_mode=None,
)

FILE_HELP = "A calibration: ours, OpenCV's, ROS's, Kalibr's or COLMAP's; FILE#cam1 of several"
File = Annotated[Path, typer.Argument(metavar="FILE", help=FILE_HELP)]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


class Form(enum.StrEnum):
    """What a calibration can be written as."""

    OURS = "ours"
    OPENCV = "opencv"
    ROS = "ros"
    KALIBR = "kalibr"
    COLMAP = "colmap"


@app.command()
def show(file: File, as_json: Json = False) -> None:
    """Print model, fields of view, and what the lens does."""
    from nodes.sources.calibrations.reading import read_calibration

    camera = read_calibration(file)
    found = facts(camera)
    typer.echo(json.dumps(found) if as_json else _text(found))


@app.command()
def convert(
    file: File,
    to: Annotated[Form, typer.Option(help="The form to write")],
    out: Annotated[Path | None, typer.Option(help="A new file [standard output]")] = None,
    crop: Annotated[str | None, typer.Option(help="X,Y,W,H: for this part of the picture")] = None,
    resize: Annotated[
        str | None, typer.Option(help="WxH: for the picture (cropped first) at this size")
    ] = None,
) -> None:
    """Write it in another form, or for cropped or resized pictures."""
    from nodes.sources.calibrations.reading import read_calibration
    from nodes.sources.calibrations.writing import write_calibration

    camera = read_calibration(file)
    camera = _cropped(camera, crop) if crop else camera
    camera = _resized(camera, resize) if resize else camera
    text = write_calibration(camera, to.value)
    if out is None:
        typer.echo(text, nl=False)
    else:
        _write(out, text)


@app.command()
def check(
    file: File,
    target: Annotated[
        str | None,
        typer.Argument(metavar="[INPUT]", help="The video, folder or camera that it is for"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what can hardly be right (exit code 2)."""
    from nodes.commands.camera_check import findings, input_size
    from nodes.sources.calibrations.reading import read_calibration

    camera = read_calibration(file)
    found = findings(camera, file, None if target is None else input_size(target))
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in found]))
    else:
        for finding in found:
            typer.echo(f"{finding.kind}: {finding.text}")
        if not any(finding.kind == "problem" for finding in found):
            typer.echo(f"{file}: nothing wrong was found")
    raise typer.Exit(2 if any(finding.kind == "problem" for finding in found) else 0)


def facts(camera: "Camera") -> dict[str, Any]:
    """Return what `show` prints; None where an angle or a distance has no value."""
    from nodes.vision.field_of_view import (
        angles_deg,
        corner_shift_px,
        field_of_view,
        max_angle_deg,
        picture_grid,
    )

    view = field_of_view(camera)
    numbers = {
        **vars(view),
        "corner_shift_px": corner_shift_px(camera),
        "max_angle_deg": max_angle_deg(camera),
        "picture_angle_deg": float(angles_deg(camera, picture_grid(camera)).max()),
    }
    return {
        **{key: getattr(camera, key) for key in ("model", "width", "height")},
        **{key: getattr(camera, key) for key in ("fx", "fy", "cx", "cy")},
        "distortion": list(camera.distortion),
        **{key: value if math.isfinite(value) else None for key, value in numbers.items()},
    }


def _text(found: dict[str, Any]) -> str:
    def show_number(key: str, without: str = "?") -> str:
        return without if found[key] is None else f"{found[key]:.1f}"

    coeffs = ", ".join(f"{value:g}" for value in found["distortion"])
    lens = {"pinhole": "radial-tangential", "fisheye": "equidistant"}[found["model"]]
    reach = show_number("picture_angle_deg", "further than the lens model")
    return "\n".join([
        f"model       {found['model']}, {found['width']}x{found['height']} pixels",
        "K           " + ", ".join(f"{key} {found[key]:.2f}" for key in ("fx", "fy", "cx", "cy")),
        f"distortion  {f'{lens}: {coeffs}' if coeffs else 'no coefficients'}",
        f"sees        {show_number('horizontal_deg')} deg horizontally, "
        f"{show_number('vertical_deg')} vertically, {show_number('diagonal_deg')} diagonally",
        f"corners     moved by up to {show_number('corner_shift_px')} px by the lens",
        f"undistorts  up to {show_number('max_angle_deg')} deg from the axis; the picture reaches "
        f"{reach}",
    ])  # fmt: skip


def _cropped(camera: "Camera", crop: str) -> "Camera":
    words = re.fullmatch(r"(\d+),(\d+),([1-9]\d*),([1-9]\d*)", crop)
    if not words:
        raise ConfigError(f"--crop must be X,Y,W,H such as 0,60,640,360, not {crop!r}")
    x, y, width, height = map(int, words.groups())
    if x + width > camera.width or y + height > camera.height:
        raise ConfigError(
            f"--crop {crop} does not lie within the {camera.width}x{camera.height} picture"
        )
    return camera.cropped(x, y, width, height)


def _resized(camera: "Camera", resize: str) -> "Camera":
    words = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", resize)
    if not words:
        raise ConfigError(f"--resize must be WxH such as 640x480, not {resize!r}")
    return camera.resized(int(words[1]), int(words[2]))


def _write(out: Path, text: str) -> None:
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(f"--out {out} exists: remove it, or name a new file") from error
    except OSError as error:
        raise ConfigError(f"cannot write --out {out}: {error.strerror}") from error
    typer.echo(f"written: {out}", err=True)
