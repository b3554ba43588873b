"""Lays numbered pictures out as the public data sets do."""

from pathlib import Path

import cv2
import numpy as np
from recordings import picture

FIRST_NS = 1_403_715_273_262_142_976


def write_pictures(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / name), picture(i))


def write_tum(folder: Path, count: int = 5) -> Path:
    """Write a sequence whose camera moves along x by 0.3 m a second, measured at 100 Hz."""
    words = [f"{1305031102 + i // 10}.{175304 + 33000 * (i % 10):06d}" for i in range(count)]
    write_pictures(folder / "rgb", [f"{word}.png" for word in words])
    lines = "".join(f"{word} rgb/{word}.png\n" for word in words)
    (folder / "rgb.txt").write_text("# color images\n# timestamp filename\n" + lines)
    times = [1305031102.17 + 0.01 * i for i in range(100)]
    truth = "".join(f"{t:.4f} {0.3 * (t - 1305031102):.6f} 1 2 0 0 0 1\n" for t in times)
    (folder / "groundtruth.txt").write_text("# ground truth trajectory\n" + truth)
    return folder


def write_kitti(root: Path, count: int = 5, number: str = "00") -> Path:
    """Write left and right grey pictures; the right camera is 0.5 m right of the left one."""
    folder = root / "sequences" / number
    for camera in ("image_0", "image_1"):
        write_pictures(folder / camera, [f"{i:06d}.png" for i in range(count)])
    (folder / "times.txt").write_text("".join(f"{0.1 * i:e}\n" for i in range(count)))
    rows = {"P0": 0.0, "P1": -30.0}
    text = "".join(f"{k}: 60 0 31.5 {b} 0 60 23.5 0 0 0 1 0\n" for k, b in rows.items())
    (folder / "calib.txt").write_text(text)
    (root / "poses").mkdir(exist_ok=True)
    # A quarter turn about y at each frame, and i metres along z of the world.
    quarter = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])
    poses = [np.linalg.matrix_power(quarter, i)[:3] for i in range(count)]
    for i, pose in enumerate(poses):
        pose[2, 3] = i
    np.savetxt(root / "poses" / f"{number}.txt", [pose.ravel() for pose in poses])
    return folder


SENSOR = """\
#Default camera sensor YAML
sensor_type: camera
T_BS:
  cols: 4
  rows: 4
  data: [0.0, -1.0, 0.0, 0.1,
         1.0, 0.0, 0.0, 0.2,
         0.0, 0.0, 1.0, 0.3,
         0.0, 0.0, 0.0, 1.0]
rate_hz: 20
resolution: [64, 48]
camera_model: pinhole
intrinsics: [60.5, 61.5, 31.5, 23.5] #fu, fv, cu, cv
distortion_model: radial-tangential
distortion_coefficients: [-0.28, 0.07, 0.0002, 1.8e-05]
"""


def write_euroc(root: Path, count: int = 5) -> Path:
    """Write a sequence whose body moves along x of the world by 1 m a frame, without turning."""
    stamps = [FIRST_NS + 50_000_000 * i for i in range(count)]
    camera = root / "mav0" / "cam0"
    write_pictures(camera / "data", [f"{stamp}.png" for stamp in stamps])
    lines = "".join(f"{stamp},{stamp}.png\r\n" for stamp in stamps)
    (camera / "data.csv").write_text("#timestamp [ns],filename\r\n" + lines)
    (camera / "sensor.yaml").write_text(SENSOR)
    truth = root / "mav0" / "state_groundtruth_estimate0"
    truth.mkdir()
    rows = [f"{stamp}, {i}, 0, 0, 1, 0, 0, 0, 9, 9, 9" for i, stamp in enumerate(stamps)]
    (truth / "data.csv").write_text("#timestamp, p_RS_R_x [m], ...\n" + "\n".join(rows) + "\n")
    return root
