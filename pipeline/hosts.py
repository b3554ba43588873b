"""Which machine runs what, and where on the network its sockets are.

Every group that `hosts` names is a machine of its own; all other nodes run on the machine "main",
which is the runner's. The control socket of a machine is at its port, and the outputs that other
machines take follow it, one port for each node, in the order of the graph.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.graph import Graph

MAIN = "main"
LOOPBACK = "127.0.0.1"


def machine_of(graph: Graph, node: str) -> str:
    """Return the name of the machine that runs a node."""
    group = graph.place.get(node, MAIN)
    return group if group in graph.hosts else MAIN


def machines(graph: Graph) -> list[str]:
    """Return the machines of a run, the runner's first; one that runs alone needs no other."""
    return [MAIN, *(name for name in graph.hosts if name != MAIN)]


def is_remote(graph: Graph, group: str) -> bool:
    """Say whether a group is served on another machine, rather than started by the runner."""
    return group in graph.hosts and group != MAIN


def plaintext_warning(graph: Graph) -> str:
    """Return what is to be said where sockets without encryption are open to others, else ""."""
    endpoints = [*graph.hosts.values(), *graph.publish.values()]
    tcp = [e for e in endpoints if e.startswith("tcp://")]
    is_open = [e for e in tcp if not is_loopback(e[6:].rpartition(":")[0])]
    if graph.keys or not is_open:
        return ""
    return (
        f"allow_plaintext: whoever reaches {', '.join(is_open)} can read and forge what goes there"
    )


def nodes_of(graph: Graph, group: str) -> list[str]:
    """Return the nodes of a group, in the order of the graph."""
    return [name for name in graph.nodes if graph.place.get(name, MAIN) == group]


def is_far(graph: Graph, node: str) -> bool:
    """Say whether another machine takes an output of a node."""
    return bool(_takers(graph, node))


def outlet_endpoint(graph: Graph, node: str, path: Path) -> str:
    """Return where a node's outputs are to be bound for other processes; port * is any free one.

    Args:
        path: of the socket, where all who take from the node run on its machine.

    Raises:
        ConfigError: several machines reach this one by different addresses.
    """
    if not is_far(graph, node):
        by_tcp = graph.carrier == "tcp"
        return f"tcp://{LOOPBACK}:*" if by_tcp else f"ipc://{path}"
    machine = machine_of(graph, node)
    if machine not in graph.hosts:
        return f"tcp://{_own_address(graph, node)}:*"
    address, port = split_endpoint(graph.hosts[machine])
    siblings = [n for n in graph.nodes if machine_of(graph, n) == machine and is_far(graph, n)]
    return f"tcp://{address}:{port + 1 + siblings.index(node)}"


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Return address and port of "tcp://ADDRESS:PORT".

    Raises:
        ValueError: it is not of this form, or the port is not 1 to 65535.
    """
    scheme, _, rest = endpoint.partition("://")
    address, colon, port = rest.rpartition(":")
    if scheme != "tcp" or not address or not colon or not port.isdecimal():
        raise ValueError("must be tcp://ADDRESS:PORT")
    if not 1 <= int(port) <= 65535:
        raise ValueError("must have a port of 1 to 65535")
    return address, int(port)


def is_loopback(address: str) -> bool:
    """Say whether an address cannot be reached from other machines."""
    return address in ("localhost", "[::1]") or address.startswith("127.")


def _takers(graph: Graph, node: str) -> list[str]:
    """Return the other machines that take an output of a node."""
    here = machine_of(graph, node)
    found = (machine_of(graph, edge.consumer) for edge in graph.edges if edge.producer == node)
    return list(dict.fromkeys(machine for machine in found if machine != here))


def _own_address(graph: Graph, node: str) -> str:
    found = dict(_ways(graph, _takers(graph, node)))
    if len(set(found.values())) > 1:
        ways = ", ".join(f"{machine} reaches {address}" for machine, address in found.items())
        raise ConfigError(
            f'hosts: this machine has several addresses ({ways}): write hosts.main: "tcp://..."'
        )
    return next(iter(found.values()))


def _ways(graph: Graph, takers: list[str]) -> Iterator[tuple[str, str]]:
    """Yield for each machine the address of this one on the way there; nothing is sent."""
    for machine in takers:
        address, port = split_endpoint(graph.hosts[machine])
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
            try:
                probe.connect((address, port))
            except OSError as error:
                text = f"hosts.{machine}: no way to {address} from here: {error.strerror or error}"
                raise ConfigError(text) from error
            yield machine, probe.getsockname()[0]
