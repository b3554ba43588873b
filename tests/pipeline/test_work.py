"""Executors keep the order of their jobs, and know what they are busy with."""

import threading
import time
from collections.abc import Iterable, Iterator

import pytest

from pipeline.polling import Wake
from pipeline.transport import Wiring
from pipeline.work import InlineExecutor, Place, PoolExecutor, Watch, WorkError


@pytest.fixture
def wake() -> Iterator[Wake]:
    wiring = Wiring.create("test", [])
    end = Wake(wiring.context, "wake")
    yield end
    end.socket.close()
    wiring.close()


def collect(pool: PoolExecutor, wake: Wake) -> list[int]:
    found: list[int] = []
    while not pool.is_idle:
        wake.socket.poll(1000)
        wake.clear()
        found += pool.results()
    return found


def test_a_pool_restores_the_order_of_its_jobs(wake: Wake) -> None:
    pool = PoolExecutor("test", 4, Watch(), wake)
    found: list[int] = []
    for index in range(20):

        def job(index: int = index) -> Iterable[int]:
            time.sleep(0.002 * (index * 7 % 5))
            return [index, -index]

        while not pool.has_room:
            wake.socket.poll(1000)
            wake.clear()
            found += pool.results()
        pool.submit(Place("working"), job)
    found += collect(pool, wake)
    pool.close()
    assert found == [n for index in range(20) for n in (index, -index)]


def test_a_job_that_raises_raises_in_its_turn_with_its_place(wake: Wake) -> None:
    pool = PoolExecutor("test", 2, Watch(), wake)
    pool.submit(Place("processing", "cam", 4), lambda: [1 // 0])
    with pytest.raises(WorkError) as caught:
        collect(pool, wake)
    pool.close()
    assert str(caught.value.place) == "stream 'cam', frame 4"
    assert isinstance(caught.value.error, ZeroDivisionError)


def test_a_watch_tells_the_longest_work() -> None:
    watch, go = Watch(), threading.Event()
    executor = InlineExecutor(watch)
    job = lambda: [go.wait(5)]  # noqa: E731
    thread = threading.Thread(target=executor.submit, args=(Place("flushing"), job))
    thread.start()
    time.sleep(0.05)
    longest = watch.longest()
    go.set()
    thread.join()
    assert longest is not None
    assert longest[0] >= 0.04
    assert str(longest[1]) == "flushing"
    assert watch.longest() is None


def test_an_inline_executor_has_room_once_its_results_are_taken() -> None:
    executor = InlineExecutor(Watch())
    executor.submit(Place("working"), lambda: [1, 2])
    assert not executor.has_room
    assert list(executor.results()) == [1, 2]
    assert executor.has_room
    assert executor.is_idle
    executor.close()
