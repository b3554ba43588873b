"""`posestream doctor`."""


def doctor() -> None:
    """Being written."""
