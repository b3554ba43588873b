"""`python -m pipeline` is the command `posestream`."""

from pipeline.cli import main

main()
