"""The errors that a user meets: one line with what is wrong and the cure, and an exit code."""

from typing import ClassVar


class PosestreamError(Exception):
    """Base of every error that the command line prints as one line."""

    exit_code: ClassVar[int] = 1


class ConfigError(PosestreamError):
    """A graph, a setting or a command is wrong; `problems` holds every finding, one line each."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InputError(PosestreamError):
    """An input cannot be opened or decoded."""

    exit_code = 3


class MissingDependencyError(PosestreamError):
    """An optional package or a model is absent; the message holds the command that installs it."""

    exit_code = 4


class NodeError(PosestreamError):
    """A node raised, hung or died; the message names the node, the stream and the frame."""

    exit_code = 6
