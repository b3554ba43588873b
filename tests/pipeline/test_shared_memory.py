"""Shared memory: what arrives, when a slot is used again, and what a death leaves behind."""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from test_run import CHAIN, run_text

from pipeline import shared_memory
from pipeline.graph import Edge, Policy
from pipeline.parcels import Packer
from pipeline.shared_memory import Handle, Reader
from pipeline.store import Store
from pipeline.wire import WireError

HELPER = Path(__file__).parent / "forced_deaths.py"
pytestmark = pytest.mark.skipif(
    not shared_memory.is_supported(), reason="needs memfd_create and /proc: Linux"
)


def image(value: int = 7, shape: tuple[int, ...] = (64, 1024)) -> np.ndarray:
    return np.full(shape, value, np.uint8)


def through(array: np.ndarray) -> np.ndarray:
    """Return what a consumer reads."""
    store = Store(1, 4)
    return view(Reader(), store.place(array, 1))


def view(reader: Reader, handle: Handle | None) -> np.ndarray:
    assert handle is not None
    return reader.view(handle)


@pytest.mark.parametrize("shape", [(64, 1024), (1080, 1920, 3), (2160, 3840, 3), (1, 1), (0, 5)])
def test_an_array_is_read_as_it_was_placed(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = through(array)
    np.testing.assert_array_equal(found.reshape(shape), array)


def test_an_array_in_pieces_is_placed_in_its_own_order() -> None:
    array = np.arange(2000, dtype=np.float64).reshape(40, 50)[::2, ::-1].T
    found = through(array)
    np.testing.assert_array_equal(found.view(np.float64).reshape(array.shape), array)


def test_what_is_read_cannot_be_written() -> None:
    found = through(image())
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        found.flags.writeable = True


def test_a_slot_is_used_again_only_when_the_last_view_of_it_is_gone() -> None:
    store, reader = Store(1, 1), Reader()
    found = view(reader, store.place(image(1), 1))
    part = found.reshape(64, 1024)[3:5].view(np.uint16)
    del found
    gc.collect()
    assert store.place(image(2), 1) is None
    assert (part == 0x0101).all()
    del part
    assert (view(reader, store.place(image(3), 1)) == 3).all()


def test_views_outlive_their_reader_and_their_producer() -> None:
    store, reader = Store(1, 2), Reader()
    found = view(reader, store.place(image(5), 1))
    store.close()
    reader.close()
    del store, reader
    gc.collect()
    assert (found == 5).all()


def test_several_consumers_read_one_copy_and_each_must_let_go_of_it() -> None:
    store, array = Store(2, 1), image(4)
    handles = [store.place(array, consumer) for consumer in (1, 2)]
    first, second = (view(Reader(), handle) for handle in handles)
    assert handles[0] is not None
    assert handles[1] is not None
    assert handles[0].offset == handles[1].offset
    del first
    assert store.place(image(), 1) is None
    assert (second == 4).all()
    del second
    assert store.place(image(), 1) is not None


def test_an_array_that_a_consumer_still_has_is_not_shared_with_itself() -> None:
    store, reader, array = Store(1, 2), Reader(), image(9)
    first, second = (view(reader, store.place(array, 1)) for _ in range(2))
    assert not np.shares_memory(first, second)
    del first, second
    assert store.place(array, 1) is not None


def test_an_array_made_in_shared_memory_is_handed_over_without_a_copy() -> None:
    store, reader = Store(2, 1), Reader()
    array = store.empty((64, 1024), np.uint8)
    assert array is not None
    array[:] = image(6)
    part = array[10:20]
    array.flags.writeable = False
    whole, rows = view(reader, store.place(array, 1)), view(reader, store.place(part, 2))
    assert (whole == 6).all()
    assert (rows.size, rows[0]) == (10 * 1024, 6)
    del array, part, whole
    assert store.empty((1,), np.uint8) is None  # the rows still lie there
    del rows
    assert store.empty((1,), np.uint8) is not None


def test_an_array_in_pieces_of_shared_memory_is_copied_in_its_own_order() -> None:
    store = Store(1, 2)
    array = store.empty((300, 400), np.uint16)
    assert array is not None
    array[:] = np.arange(120_000).reshape(300, 400) % 65521
    found = view(Reader(), store.place(array.T, 1))
    np.testing.assert_array_equal(found.view(np.uint16).reshape(400, 300), array.T)


def test_a_copy_is_not_found_where_something_else_was_written_since() -> None:
    store, reader, array = Store(1, 1), Reader(), image(1)
    view(reader, store.place(array, 1))
    other = store.empty(array.shape, np.uint8)
    assert other is not None
    other[:] = 2
    del other
    assert (view(reader, store.place(array, 1)) == 1).all()


def test_memory_grows_with_the_arrays_and_is_given_back_once_the_small_ones_are_gone() -> None:
    gc.collect()
    before = mappings(), descriptors()
    store, reader = Store(1, 3), Reader()
    small = view(reader, store.place(image(1), 1))
    large = view(reader, store.place(image(2, (1024, 1024)), 1))
    again = view(reader, store.place(image(3), 1))
    assert [set(found.tolist()) for found in (small, large, again)] == [{1}, {2}, {3}]
    assert mappings() == before[0] + 6  # two arenas, each mapped once here, and twice there
    del small, large, again
    assert (view(reader, store.place(image(4), 1)) == 4).all()
    gc.collect()
    assert mappings() == before[0] + 3
    assert descriptors() == before[1] + 4  # a mapping keeps one


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def mappings() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:posestream")


def test_nothing_is_left_of_stores_and_readers() -> None:
    def use() -> None:
        store, reader = Store(1, 3), Reader()
        for rows in (64, 640, 6400):
            assert (view(reader, store.place(image(1, (rows, 1024)), 1)) == 1).all()

    use()
    gc.collect()
    before = mappings(), descriptors()
    for _ in range(5):
        use()
    gc.collect()
    assert (mappings(), descriptors()) == before


def test_threads_that_make_send_and_drop_arrays_disturb_none() -> None:
    store, reader, wrong = Store(1, 4), Reader(), []

    def go(value: int) -> None:
        for number in range(300):
            array = store.empty((64, 1024), np.uint8) if number % 2 else image()
            if array is None:
                continue
            array[:] = value
            handle = store.place(array, 1)
            if handle is not None and not (reader.view(handle) == value).all():
                wrong.append(number)

    threads = [threading.Thread(target=go, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert store.place(image(), 1) is not None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"nbytes": 2**40}, "does not lie in"),
        ({"nbytes": -1}, "does not lie in"),
        ({"offset": -8}, "does not lie in"),
        ({"flag": -1}, "does not lie in"),
        ({"flag": 2**40}, "does not lie in"),
        ({"fd": 10**6, "serial": 10**6}, "cannot be read"),
        ({"pid": -1, "serial": 10**6}, "cannot be read"),
    ],
)
def test_a_bad_handle_is_refused(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, int], expected: str
) -> None:
    monkeypatch.setattr(shared_memory, "DEATH_S", 0.0)
    store, reader = Store(1, 2), Reader()
    good = store.place(image(), 1)
    view(reader, good)
    with pytest.raises(WireError, match=expected):
        reader.view(msgspec.structs.replace(good, **changes))


def test_a_file_that_could_shrink_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shared_memory, "DEATH_S", 0.0)
    unsealed = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(unsealed, 2**20)
    with (tmp_path / "file").open("w+b") as file:
        for fd in (unsealed, file.fileno()):
            with pytest.raises(WireError, match="cannot be read"):
                Reader().view(Handle(os.getpid(), fd, 0, 4096, 0, 4096, 10))
    os.close(unsealed)


def test_without_memory_from_the_system_nothing_finds_a_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object) -> int:
        raise OSError("none left")

    monkeypatch.setattr(os, "memfd_create", refuse)
    assert Store(1, 2).place(image(), 1) is None


def leftovers() -> set[Path]:
    """Return the files in which shared memory or sockets could stay behind."""
    folder = Path(tempfile.gettempdir()) / f"posestream-{os.getuid()}"
    own = folder.glob(f"{os.getpid()}-*")
    return {*own, *(Path("/dev/shm").iterdir() if Path("/dev/shm").exists() else ())}


def force_deaths(deaths: int) -> None:
    before = leftovers()
    done = subprocess.run(
        [sys.executable, str(HELPER), str(deaths), "1"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["deaths"] == deaths
    assert found["mid_write"] > deaths / 2
    assert found["frames"] > deaths
    assert found["torn"] == 0
    assert found["grown"] == {"descriptors": 0, "mappings": 0, "children": 0}
    assert leftovers() <= before


def test_50_deaths_in_mid_write_leave_no_torn_frame_and_nothing_behind() -> None:
    force_deaths(50)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_10000_deaths_in_mid_write_leave_no_torn_frame_and_nothing_behind() -> None:
    force_deaths(10_000)


def when_written(file: Path, do: Callable[[], None]) -> None:
    while not file.exists() or not file.read_text():
        time.sleep(0.02)
    do()


@pytest.mark.parametrize("victim", ["count", "collect"])
def test_a_run_whose_producer_or_consumer_is_killed_ends_with_nothing_left(
    tmp_path: Path, victim: str
) -> None:
    before, mapped, killed_at = leftovers(), mappings(), []

    def kill() -> None:
        own = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        children = [p for p in own if "pipeline.child" in Path(f"/proc/{p}/cmdline").read_text()]
        os.kill(int(children[["count", "collect"].index(victim)]), signal.SIGKILL)
        killed_at.append(time.monotonic())

    out = tmp_path / "collect.txt"
    thread = threading.Thread(target=when_written, args=(out, kill))
    thread.start()
    sets = [
        "place={count: one, collect: two}",
        "count.params.count=100000",
        "count.params.rows=30000",
    ]
    result = run_text(CHAIN, tmp_path, *sets)
    thread.join()
    assert time.monotonic() - killed_at[0] < 5
    assert result.exit_code == 6
    assert result.failure is not None
    assert result.failure.text.startswith(f"node '{victim}': its process was killed by SIGKILL")
    gc.collect()
    assert leftovers() <= before
    assert mappings() <= mapped


def test_a_fork_that_ends_does_not_give_back_what_its_parent_reads() -> None:
    store, reader = Store(1, 1), Reader()
    found = view(reader, store.place(image(1), 1))
    code = os.fork()
    if code == 0:
        del found
        gc.collect()
        os._exit(0)
    os.waitpid(code, 0)
    assert store.place(image(2), 1) is None
    assert (found == 1).all()


def test_an_array_that_was_copied_in_is_not_kept_alive() -> None:
    store, reader = Store(1, 2), Reader()
    array = image()
    alive = weakref.ref(array)
    found = view(reader, store.place(array, 1))
    del array
    assert alive() is None
    assert (found == 7).all()


def test_a_flag_outside_the_control_bytes_is_refused() -> None:
    store, reader = Store(1, 2), Reader()
    good = store.place(image(), 1)
    assert good is not None
    for flag in (-1, good.control, good.offset):
        with pytest.raises(WireError, match="does not lie in"):
            reader.view(msgspec.structs.replace(good, flag=flag))


def test_there_is_room_for_a_full_window_and_for_an_item_kept_of_each_of_many_streams() -> None:
    edge = Edge("a", "n", "b", "n", Policy.LOSSLESS, 4, tuple(f"s{i}" for i in range(32)))
    packer = Packer([edge], shares_memory=True)
    kept = [packer.empty((64, 1024), np.uint8) for _ in range(edge.window + 32)]
    assert all(array.base is not None for array in kept)
