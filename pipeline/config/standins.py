"""Imports a module without one of the packages that it needs, to read what it says of itself."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


@contextmanager
def standing_in(package: str) -> Iterator[None]:
    """Let a package that is not installed be imported, as something that can do nothing.

    Afterwards the stand-in is forgotten, and so is every module that has imported it: whoever needs
    the package in earnest is told that it is missing, as before.
    """
    finder = _Finder(package)
    sys.meta_path.append(finder)  # the last to be asked: what is installed is never replaced
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in finder.made | finder.importers:
            _forget(name)
        importlib.invalidate_caches()


class _Finder(MetaPathFinder, Loader):
    """Finds a package and all its modules, and notes who asks."""

    def __init__(self, package: str) -> None:
        self._package = package
        self.made: set[str] = set()
        self.importers: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what makes a stand-in, for a module of the package."""
        if fullname.partition(".")[0] != self._package:
            return None
        self.made.add(fullname)
        self.importers |= _being_imported()
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return a stand-in."""
        return _StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: a stand-in is complete."""


class _StandInModule(ModuleType):
    """A module that has everything, all of it good for nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _StandIn


class _Permissive(type):
    """Lets a class be called, and asked for any attribute, to give itself."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        return cls


class _StandIn(metaclass=_Permissive):
    """Stands for every class, function and value of a stand-in."""


def _being_imported() -> set[str]:
    """Return the modules whose bodies are being run, which are those that import."""
    names = set()
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            names.add(frame.f_globals["__name__"])
        frame = frame.f_back
    return names - {"__main__"}


def _forget(name: str) -> None:
    module = sys.modules.pop(name, None)
    parent, _, child = name.rpartition(".")
    if parent in sys.modules and getattr(sys.modules[parent], child, None) is module:
        delattr(sys.modules[parent], child)
