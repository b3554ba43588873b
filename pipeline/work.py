"""Where the work of a node is done: in its own thread, or in worker threads, order restored.

Every executor takes jobs, keeps the results in the order of the jobs, and can say since when it
has been busy with what, for whoever watches over hangs.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.polling import Wake


@dataclass(frozen=True)
class Place:
    """What is being worked on: for error messages."""

    doing: str
    stream: str = ""
    seq: int = -1

    def __str__(self) -> str:
        return f"stream {self.stream!r}, frame {self.seq}" if self.stream else self.doing


@dataclass
class Watch:
    """Knows since when each thread of a node has been busy, with what, and what it cost."""

    _busy: dict[int, tuple[float, Place, float]] = field(default_factory=dict)
    _cpu_s: dict[int, float] = field(default_factory=dict)  # by thread: each writes its own

    def begin(self, place: Place) -> None:
        """Note that this thread begins to work."""
        self._busy[threading.get_ident()] = time.monotonic(), place, time.thread_time()

    def end(self) -> None:
        """Note that this thread is done."""
        thread = threading.get_ident()
        entry = self._busy.pop(thread, None)
        if entry and entry[1].stream:  # opening and closing are not counted
            spent = time.thread_time() - entry[2]
            self._cpu_s[thread] = self._cpu_s.get(thread, 0.0) + spent

    @property
    def cpu_s(self) -> float:
        """Return the seconds of CPU time that frames have taken so far, in all threads."""
        return sum(list(self._cpu_s.values()))

    def longest(self) -> tuple[float, Place] | None:
        """Return for how many seconds the longest work has gone on, and what it is."""
        busy = list(self._busy.values())
        if not busy:
            return None
        since, place, _ = min(busy, key=lambda entry: entry[0])
        return time.monotonic() - since, place

    def current(self) -> Place | None:
        """Return what this thread is working on."""
        entry = self._busy.get(threading.get_ident())
        return entry[1] if entry else None


class WorkError(Exception):
    """A node raised; `error` is what it raised, `place` where."""

    def __init__(self, place: Place, error: BaseException) -> None:
        super().__init__(str(error))
        self.place = place
        self.error = error


Job = Callable[[], Iterable[Any]]


def run_watched(watch: Watch, place: Place, job: Job) -> list[Any]:
    """Run a job to its end under watch.

    Raises:
        WorkError: the job raised.
    """
    watch.begin(place)
    try:
        return list(job())
    except BaseException as error:  # a library that exits must not end the thread unheard
        raise WorkError(place, error) from error
    finally:
        watch.end()


class InlineExecutor:
    """Does each job at once, in the calling thread."""

    def __init__(self, watch: Watch) -> None:
        self.threads: list[threading.Thread] = []
        self._watch = watch
        self._results: list[Any] = []

    @property
    def has_room(self) -> bool:
        """Whether a job would be begun now."""
        return not self._results

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._results

    def submit(self, place: Place, job: Job) -> None:
        """Take a job."""
        self._results += run_watched(self._watch, place, job)

    def results(self) -> Iterator[Any]:
        """Take the results that are ready, in the order of the jobs."""
        results, self._results = self._results, []
        yield from results

    def close(self) -> None:
        """Begin nothing more."""


@dataclass(eq=False)
class _Task:
    place: Place
    job: Job
    results: list[Any] | None = None
    error: WorkError | None = None


class PoolExecutor:
    """Does up to `workers` jobs at a time in threads of its own; wakes the node's after each."""

    def __init__(self, name: str, workers: int, watch: Watch, wake: Wake) -> None:
        self._watch = watch
        self._workers = workers
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._order: deque[_Task] = deque()
        self.threads = [
            threading.Thread(target=self._work, args=(wake,), name=f"{name}#{index}", daemon=True)
            for index in range(workers)
        ]
        for thread in self.threads:
            thread.start()

    @property
    def has_room(self) -> bool:
        """Whether a job would be begun now."""
        return len(self._order) < self._workers

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._order

    def submit(self, place: Place, job: Job) -> None:
        """Take a job."""
        task = _Task(place, job)
        self._order.append(task)
        self._tasks.put(task)

    def results(self) -> Iterator[Any]:
        """Take the results that are ready, in the order of the jobs."""
        while self._order and (self._order[0].results is not None or self._order[0].error):
            task = self._order.popleft()
            if task.error:
                raise task.error
            yield from task.results or ()

    def close(self) -> None:
        """Begin nothing more."""
        for _ in range(self._workers):
            self._tasks.put(None)

    def _work(self, wake: Wake) -> None:
        with wake.end() as notify:
            while task := self._tasks.get():
                try:
                    task.results = run_watched(self._watch, task.place, task.job)
                except WorkError as error:
                    task.error = error
                notify()
