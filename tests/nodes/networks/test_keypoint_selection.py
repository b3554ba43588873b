"""What may be asked of keypoints, and what not."""

from dataclasses import replace

import pytest

from nodes.networks.selection import Selection


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_keypoints": 0}, "max_keypoints must be at least 1, not 0"),
        ({"threshold": 0.0}, "threshold must be at least 0.0001 and less than 1, not 0.0"),
        ({"threshold": 1.0}, "threshold must be at least 0.0001 and less than 1, not 1.0"),
        ({"nms_radius_px": -1}, "nms_radius_px must be from 0 to 16, not -1"),
        ({"nms_radius_px": 17}, "nms_radius_px must be from 0 to 16, not 17"),
        ({"border_px": -1}, "border_px must be at least 0, not -1"),
        ({"octaves": 0}, "octaves must be from 1 to 4, not 0"),
        ({"octaves": 5}, "octaves must be from 1 to 4, not 5"),
    ],
)
def test_a_selection_without_sense_is_an_error(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(Selection(), **change)
    assert str(error.value) == message
