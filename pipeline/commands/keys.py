"""`posestream keys`."""


def keys() -> None:
    """Being written."""
