"""`posestream schema`."""


def schema() -> None:
    """Being written."""
