"""The ports of a node are the arguments of its `process`."""

import pytest
from toys import Collect, Count, Number, Relay, Total

from pipeline.node import Node
from pipeline.ports import Port, input_ports


def test_ports_are_the_arguments_of_process() -> None:
    assert input_ports(Relay) == {"number": Port(Number, optional=False)}


def test_an_argument_with_a_default_is_an_optional_port() -> None:
    assert input_ports(Collect) == {
        "number": Port(Number, optional=True),
        "other": Port(Number, optional=True),
        "total": Port(Total, optional=True),
    }


def test_a_source_has_no_ports() -> None:
    assert input_ports(Count) == {}


def test_an_argument_without_a_message_type_is_named() -> None:
    class Bad(Node):
        def process(self, number: int) -> None: ...

    with pytest.raises(TypeError, match=r"Bad\.process: annotate 'number' with one message type"):
        input_ports(Bad)
