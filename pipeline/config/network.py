"""What `hosts` and `publish` must fulfil before a graph may open sockets to other machines."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pipeline.config.checks import Breach
from pipeline.config.flow import Specs
from pipeline.config.layout import TopEntry
from pipeline.hosts import MAIN, is_loopback, split_endpoint
from pipeline.registry import suggest

EVERYWHERE = ("*", "0.0.0.0", "[::]")


def check_network(top: TopEntry, specs: Specs) -> Iterator[Breach]:
    """Check hosts and published outputs: names, endpoints, and that what is open is meant to be."""
    groups = list(dict.fromkeys(top.place.values()))
    is_guarded = bool(top.keys) or top.allow_plaintext
    yield from _check_hosts(top.hosts, groups, is_guarded)
    yield from _check_names(top.publish, specs)
    yield from _check_publishing(top.publish, is_guarded)


def _check_hosts(
    hosts: Mapping[str, str], groups: Collection[str], is_guarded: bool
) -> Iterator[Breach]:
    owners: dict[str, str] = {}
    for name, endpoint in hosts.items():
        path = ("hosts", name)
        if name not in (MAIN, *groups):
            known = suggest(name, [MAIN, *groups])
            yield path, f"no node is placed in the group {name!r}. {known}"
        first = owners.setdefault(endpoint, name)
        if first != name:
            yield path, f"{endpoint} is the endpoint of {first!r} already"
        yield from ((path, text) for text in _check_tcp(endpoint, is_guarded))
        if _address(endpoint) in EVERYWHERE:
            yield path, f"must name one address that the other machines can reach, not {endpoint!r}"


def _check_tcp(endpoint: str, is_guarded: bool) -> Iterator[str]:
    try:
        address, _ = split_endpoint(endpoint)
    except ValueError as error:
        yield f"{error}, such as tcp://192.168.1.20:5700, not {endpoint!r}"
        return
    if not is_loopback(address) and not is_guarded:
        yield (
            f"{endpoint} can be reached from other machines: encrypt with keys: FOLDER "
            "(posestream keys FOLDER NAME makes them), or write allow_plaintext: true"
        )


def _address(endpoint: str) -> str:
    return endpoint.removeprefix("tcp://").rpartition(":")[0]


def _check_names(publish: Mapping[str, str], specs: Specs) -> Iterator[Breach]:
    outputs = [f"{name}.{output}" for name, s in specs.items() for output in s.node_class.outputs]
    for name in publish:
        if name not in outputs:
            yield ("publish", name), f"there is no output {name!r}. {suggest(name, outputs)}"


def _check_publishing(publish: Mapping[str, str], is_guarded: bool) -> Iterator[Breach]:
    owners: dict[str, str] = {}
    for name, endpoint in publish.items():
        path = ("publish", name)
        node = name.partition(".")[0]
        owner = owners.setdefault(endpoint, node)
        if owner != node:
            text = f"{endpoint} is an endpoint of node {owner!r} already: each node needs its own"
            yield path, text
        if endpoint.startswith("tcp://"):
            yield from ((path, text) for text in _check_tcp(endpoint, is_guarded))
        elif not endpoint.removeprefix("ipc://") or not endpoint.startswith("ipc://"):
            yield path, f"must be tcp://ADDRESS:PORT or ipc://PATH, not {endpoint!r}"
