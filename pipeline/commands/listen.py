"""`posestream listen`."""


def listen() -> None:
    """Being written."""
