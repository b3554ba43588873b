"""The input ports of a node, read off the signature of its `process`."""

import inspect
import types
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from pipeline.node import Message, Node


@dataclass(frozen=True)
class Port:
    """An input port: the type it takes, and whether the node does without."""

    message: type[Message]
    optional: bool


def input_ports(node_class: type[Node]) -> dict[str, Port]:
    """Return the input ports of a node type by name, in the order of `process`.

    Raises:
        TypeError: an argument of `process` is not annotated with a message type.
    """
    process: Any = getattr(node_class, "process", None)
    if process is None:
        return {}
    hints = get_type_hints(process)
    parameters = list(inspect.signature(process).parameters.values())[1:]  # without self
    return {p.name: _port(node_class, p, hints.get(p.name)) for p in parameters}


def _port(node_class: type[Node], parameter: inspect.Parameter, hint: Any) -> Port:
    alternatives = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    messages = [a for a in alternatives if isinstance(a, type) and issubclass(a, Message)]
    if len(messages) != 1:
        raise TypeError(
            f"{node_class.__name__}.process: annotate {parameter.name!r} with one message type"
        )
    return Port(messages[0], parameter.default is not inspect.Parameter.empty)
