"""Writes a camera's calibration in the forms that `reading.py` reads; reading gives it back.

Every number is written with all its digits. What a form cannot hold is refused.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

from nodes.sources.calibrations.colmap import HALF
from nodes.vision.camera import Camera
from pipeline.errors import ConfigError

ROS_COUNTS = {4: "plumb_bob", 5: "plumb_bob", 8: "rational_polynomial"}


def write_calibration(camera: Camera, form: str) -> str:
    """Return the text of a calibration file in one of `WRITERS`.

    Raises:
        ConfigError: the form has no name for this model of a lens.
    """
    return WRITERS[form](camera)


def _ours(camera: Camera) -> str:
    values = {key: getattr(camera, key) for key in ("fx", "fy", "cx", "cy")}
    return (
        f"width: {camera.width}\nheight: {camera.height}\n"
        + "".join(f"{key}: {_real(value)}\n" for key, value in values.items())
        + f"distortion_model: {_model(camera)}\ndistortion_coeffs: {_list(_coeffs(camera))}\n"
    )


def _opencv(camera: Camera) -> str:
    return (
        f"%YAML:1.0\n---\nimage_width: {camera.width}\nimage_height: {camera.height}\n"
        f"fisheye_model: {int(camera.model == 'fisheye')}\n"
        + _opencv_matrix("camera_matrix", 3, camera.K.ravel().tolist())
        + _opencv_matrix("distortion_coefficients", 1, _coeffs(camera) or [0.0] * 4)
    )


def _opencv_matrix(key: str, rows: int, values: Sequence[float]) -> str:
    return (
        f"{key}: !!opencv-matrix\n   rows: {rows}\n   cols: {len(values) // rows}\n   dt: d\n"
        f"   data: {_list(values)}\n"
    )


def _ros(camera: Camera) -> str:
    """Write what ROS's camera_calibration_parsers reads: of a monocular camera, R = I, P = [K 0].

    plumb_bob has five coefficients, rational_polynomial eight.
    """
    model, coeffs = "equidistant", _coeffs(camera)
    if camera.model == "pinhole":
        model = ROS_COUNTS.get(len(coeffs) or 4, "")
        coeffs = coeffs + [0.0] * (5 - len(coeffs))
    if not model:
        raise _unfit(camera, "ros", "its rational_polynomial has 8")
    projection = [*camera.K[0].tolist(), 0.0, *camera.K[1].tolist(), 0.0, 0.0, 0.0, 1.0, 0.0]
    return (
        f"image_width: {camera.width}\nimage_height: {camera.height}\ncamera_name: camera\n"
        + _ros_matrix("camera_matrix", 3, camera.K.ravel().tolist())
        + f"distortion_model: {model}\n"
        + _ros_matrix("distortion_coefficients", 1, coeffs)
        + _ros_matrix("rectification_matrix", 3, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
        + _ros_matrix("projection_matrix", 3, projection)
    )


def _ros_matrix(key: str, rows: int, values: Sequence[float]) -> str:
    return f"{key}:\n  rows: {rows}\n  cols: {len(values) // rows}\n  data: {_list(values)}\n"


def _kalibr(camera: Camera) -> str:
    coeffs = _coeffs(camera)
    if len(coeffs) > 4:
        raise _unfit(camera, "kalibr", "its radtan has 4")
    k = [camera.fx, camera.fy, camera.cx, camera.cy]
    return (
        "cam0:\n  camera_model: pinhole\n"
        f"  intrinsics: {_list(k)}\n"
        f"  distortion_model: {_model(camera)}\n"
        f"  distortion_coeffs: {_list(coeffs)}\n"
        f"  resolution: [{camera.width}, {camera.height}]\n"
    )


def _colmap(camera: Camera) -> str:
    coeffs = _coeffs(camera)
    model = {0: "PINHOLE", 4: "OPENCV", 5: "FULL_OPENCV", 8: "FULL_OPENCV"}.get(len(coeffs))
    if model is None:
        raise _unfit(camera, "colmap", "its FULL_OPENCV has 8")
    if model == "FULL_OPENCV":
        coeffs = coeffs + [0.0] * (8 - len(coeffs))
    if camera.model == "fisheye":
        model = "OPENCV_FISHEYE"
    centre = [str(Decimal(_real(value)) + HALF) for value in (camera.cx, camera.cy)]
    params = [_real(camera.fx), _real(camera.fy), *centre, *map(_real, coeffs)]
    return (
        "# Camera list with one line of data per camera:\n"
        "#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n"
        f"1 {model} {camera.width} {camera.height} {' '.join(params)}\n"
    )


WRITERS: dict[str, Callable[[Camera], str]] = {
    "ours": _ours,
    "opencv": _opencv,
    "ros": _ros,
    "kalibr": _kalibr,
    "colmap": _colmap,
}


def _model(camera: Camera) -> str:
    if camera.model == "fisheye":
        return "equidistant"
    return "radtan" if camera.distortion else "none"


def _coeffs(camera: Camera) -> list[float]:
    """Return the coefficients; a fisheye always has four."""
    coeffs = list(camera.distortion)
    return coeffs or ([0.0] * 4 if camera.model == "fisheye" else [])


def _unfit(camera: Camera, form: str, most: str) -> ConfigError:
    return ConfigError(
        f"--to {form} cannot hold a distortion of {len(camera.distortion)} coefficients: {most}; "
        "--to ours and --to opencv can"
    )


def _list(values: Sequence[float]) -> str:
    return f"[{', '.join(map(_real, values))}]"


def _real(value: float) -> str:
    """Write all digits; with a point, as YAML 1.1 takes 1e-05 for a text."""
    text = repr(float(value))
    return text if "." in text else text.replace("e", ".0e")
