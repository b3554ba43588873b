"""Addresses: RTSP and HTTP from real servers on loopback, which die and come back."""

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from live_runs import run_live
from rtsp_server import Rtsp
from servers import File, Mjpeg, SecureMjpeg, Server, number_of, secrets_in

from nodes.sources.base import Picture, Selection
from nodes.sources.ffmpeg import open_capture
from nodes.sources.live import live_source as live
from nodes.sources.live.addresses import masked
from nodes.sources.live.url import Url
from pipeline.errors import InputError

Writer = Callable[..., Path]
QUICK = {"timeout_s": 1.0}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_PAUSE_S", 0.1)


def opened(url: str, **options: Any) -> Url:
    source = Url(Url.Options(url=url, **{**QUICK, **options}))
    source.open(lambda text: None)
    return source


def first_pictures(source: Url, count: int) -> list[Picture]:
    try:
        return [p for p in source.frames(Selection(stop=count)) if p is not None]
    finally:
        source.close()


@pytest.mark.parametrize("make", [Mjpeg, Rtsp])
def test_pictures_of_a_server_come_in_order_and_in_their_colours(make: type[Server]) -> None:
    with make() as server:
        source = opened(server.url)
        pictures = first_pictures(source, 10)
    assert source.size == (64, 48)
    images = [p.image for p in pictures if p.image is not None]
    numbers = [number_of(float(image[-8:, -8:].mean())) for image in images]
    assert numbers == list(range(numbers[0], numbers[0] + 10)) and numbers[0] < 60
    assert all(image.shape == (48, 64, 3) and image[:8, :8].min() > 250 for image in images)
    stamps = [p.stamp_ns for p in pictures]
    assert stamps == sorted(set(stamps)) and abs(stamps[-1] - time.time_ns()) < 10e9


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for loopback that nobody has signed, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    names = str(folder / "cert.pem"), str(folder / "key.pem")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    subprocess.run(
        [*command.split(), "-out", names[0], "-keyout", names[1]], check=True, capture_output=True
    )
    return names


def test_https_is_read_too(certificate: tuple[str, str]) -> None:
    with SecureMjpeg(*certificate) as server:
        assert len(first_pictures(opened(server.url), 5)) == 5


def restarting(server: Server, at: int) -> Callable[[str, int], None]:
    """Return a callback that lets the server die once there are `at` frames, for half a second."""
    todo = [at]

    def on_state(state: str, count: int) -> None:
        if todo and count >= todo[0]:
            todo.clear()
            server.die()
            threading.Timer(0.5, server.start).start()

    return on_state


@pytest.mark.parametrize(("make", "transport"), [(Mjpeg, "tcp"), (Rtsp, "tcp"), (Rtsp, "udp")])
def test_a_server_that_dies_and_returns_leaves_a_declared_gap(
    make: type[Server], transport: str, tmp_path: Path
) -> None:
    with make() as server:
        options = {"url": server.url, "transport": transport, "timeout_s": 0.6}
        outcome = run_live(tmp_path, "url", options, restarting(server, 20), stop=60)
    assert (outcome.result.exit_code, outcome.result.report.state) == (0, "complete")
    assert outcome.states == ["signal lost", ""]
    ((seq, reason),) = outcome.gaps
    assert reason.startswith("signal lost for ") and 0.4 < float(reason.split()[3]) < 5
    assert [row["seq"] for row in outcome.frames] == [i for i in range(60) if i != seq]
    assert (outcome.account.results, outcome.account.gaps) == (59, 1)
    warning = f"{server.url}: signal lost; it is opened again until it is back"
    assert warning in outcome.result.report.warnings


def test_a_connection_that_only_breaks_off_is_made_anew(tmp_path: Path) -> None:
    with Mjpeg() as server:
        todo = [10, 30]

        def on_state(state: str, count: int) -> None:
            if todo and count >= todo[0]:
                todo.pop(0)
                server.drop()

        outcome = run_live(tmp_path, "url", {"url": server.url, **QUICK}, on_state, stop=60)
    assert server.count == 3
    assert (len(outcome.gaps), outcome.account.results, outcome.account.gaps) == (2, 58, 2)


def test_a_server_that_falls_silent_is_noticed(tmp_path: Path) -> None:
    class Silent(Mjpeg):
        def pictures(self) -> Any:
            for number, data in super().pictures():
                if number == 15 and self.count == 1:
                    time.sleep(3)
                yield number, data

    with Silent() as server:
        options = {"url": server.url, "timeout_s": 0.4}
        outcome = run_live(tmp_path, "url", options, stop=40, hang_s=2)
    assert outcome.states == ["signal lost", ""] and server.count == 2
    assert (outcome.account.results, outcome.account.gaps) == (39, 1)


def test_a_picture_of_another_size_after_the_return_has_a_camera_of_its_own(tmp_path: Path) -> None:
    with Rtsp() as server:

        def on_state(state: str, count: int) -> None:
            if count >= 10 and server.size == (64, 48):
                server.size = (96, 80)
                server.drop()

        outcome = run_live(tmp_path, "url", {"url": server.url, **QUICK}, on_state, stop=40)
    ((seq, _),) = outcome.gaps
    sizes = [row["size"] for row in outcome.frames]
    assert sizes == [[64, 48]] * seq + [[96, 80]] * (39 - seq)
    assert f"{server.url}: frame {seq + 1} changes size from 64x48 to 96x80; " in "\n".join(
        outcome.result.report.warnings
    )
    assert outcome.account.total == 40


def test_a_server_that_stays_away_ends_the_stream_as_truncated(tmp_path: Path) -> None:
    with Mjpeg() as server:

        def on_state(state: str, count: int) -> None:
            if count >= 10 and not state:
                server.die()

        options = {"url": server.url, "give_up_s": 0.6, **QUICK}
        outcome = run_live(tmp_path, "url", options, on_state)
    report = outcome.result.report
    count = outcome.account.results
    assert (outcome.result.exit_code, report.state) == (3, "truncated")
    assert report.why == (
        f"{server.url}: signal lost after {count} frames and not back within 0.6 s"
    )


def test_user_and_password_are_used_but_never_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Rtsp(password="alice:secret") as server:
        url = server.url.replace("rtsp://", "rtsp://alice:secret@")
        options = {"url": url, "give_up_s": 0.3, **QUICK}

        def on_state(state: str, count: int) -> None:
            if count >= 10 and not state:
                server.die()

        outcome = run_live(tmp_path, "url", options, on_state)
    assert outcome.account.results >= 10
    assert f"rtsp://***@127.0.0.1:{server.port}/stream: signal lost" in outcome.result.report.why
    assert not secrets_in((tmp_path / "stats.json").read_text())
    assert not secrets_in("".join(capfd.readouterr()))


def test_a_wrong_password_is_refused_at_once_without_telling_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Rtsp(password="alice:other") as server:
        url = server.url.replace("rtsp://", "rtsp://alice:secret@")
        with pytest.raises(InputError) as caught:
            opened(url)
    assert str(caught.value) == (
        f"rtsp://***@127.0.0.1:{server.port}/stream cannot be opened: see whether the address, "
        "user and password are right, and whether a player such as ffplay shows it from this "
        "machine"
    )
    assert capfd.readouterr() == ("", "")


def test_a_server_that_accepts_and_says_nothing_is_refused_in_time() -> None:
    class Mute(Server):
        scheme = "rtsp"

        def serve(self, connection: Any) -> None:
            connection.recv(4096)

    with Mute() as server:
        started = time.monotonic()
        with pytest.raises(InputError, match=r"cannot be opened: see whether"):
            opened(server.url, timeout_s=0.4)
    assert time.monotonic() - started < 3


def test_a_video_over_http_is_played_at_its_pace_to_its_end(
    write_video: Writer, tmp_path: Path
) -> None:
    with File(write_video(frames=20, fps=25).read_bytes()) as server:
        started = time.monotonic()
        outcome = run_live(tmp_path, "url", {"url": server.url, **QUICK})
    assert (outcome.result.report.state, outcome.account.results) == ("complete", 20)
    assert time.monotonic() - started > 19 / 25


def test_a_video_over_http_that_is_cut_is_truncated(write_video: Writer, tmp_path: Path) -> None:
    data = write_video(frames=40, fps=100).read_bytes()
    with File(data, len(data) // 2) as server:
        outcome = run_live(tmp_path, "url", {"url": server.url, **QUICK})
    count = outcome.account.results
    assert 10 < count < 25 and outcome.result.report.state == "truncated"
    assert outcome.result.report.why == (
        f"{server.url} ended after {count} of 40 frames; a copy of the file can tell whether it is "
        "damaged"
    )


def test_an_address_cannot_lead_to_a_file(write_video: Writer) -> None:
    """A playlist of FFmpeg and a redirection that name a file on this machine open nothing."""
    video = write_video("other.mkv")
    with File(f"ffconcat version 1.0\nfile {video}\n".encode()) as server:
        assert_refused(server.url)

    class Redirecting(Server):
        scheme = "http"

        def serve(self, connection: Any) -> None:
            connection.recv(4096)
            connection.sendall(f"HTTP/1.0 302 Found\r\nLocation: file:{video}\r\n\r\n".encode())

    with Redirecting() as server:
        assert_refused(server.url)


def assert_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"cannot be opened"):
        opened(url)


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
    for given in (None, "threads;1"):
        monkeypatch.delenv(name, raising=False)
        if given:
            monkeypatch.setenv(name, given)
        with Mjpeg() as server:
            opened(server.url).close()
        assert os.environ.get(name) == given


def test_inputs_with_other_settings_take_turns_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def spy(target: str, api: int, params: list[int]) -> str:
        before = os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"]
        time.sleep(0.002)
        seen.append((target, before, os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"]))
        return ""

    def open_often(key: str) -> None:
        for _ in range(20):
            open_capture(key, {"a": key})

    monkeypatch.setattr(cv2, "VideoCapture", spy)
    threads = [threading.Thread(target=open_often, args=(key,)) for key in ("1", "2", "2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 60
    assert all(before == after == f"a;{key}" for key, before, after in seen)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtsp://cam/1", "rtsp://cam/1"),
        ("rtsp://cam:554/1", "rtsp://cam:554/1"),
        ("rtsp://alice:secret@cam:554/1", "rtsp://***@cam:554/1"),
        ("rtsp://alice:se@cret@cam/1", "rtsp://***@cam/1"),
        ("rtsp://alice:se/cret@cam/1", "rtsp://***@cam/1"),
        ("http://alice@cam/1", "http://***@cam/1"),
        ("http://cam/@home/1", "http://cam/@home/1"),
        ("http://cam/cgi?user=alice&pwd=secret", "http://cam/cgi?***"),
        ("alice:secret@cam", "***"),
    ],
)
def test_secrets_of_an_address_are_masked(url: str, expected: str) -> None:
    assert masked(url) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "url must begin with one of rtsp://, http://, https://, not ''"),
        (
            {"url": "ftp://alice:secret@cam/1"},
            "url must begin with one of rtsp://, http://, https://, not 'ftp://***@cam/1'",
        ),
        (
            {"url": "file:///etc/passwd"},
            "url must begin with one of rtsp://, http://, https://, not 'file:///etc/passwd'",
        ),
        ({"url": "rtsp://cam", "transport": "tpc"}, "transport must be tcp or udp, not 'tpc'"),
        (
            {"url": "rtsp://cam", "timeout_s": 0},
            "timeout_s must be above 0 and at most 3600 seconds, not 0",
        ),
        ({"url": "rtsp://cam", "give_up_s": -1}, "give_up_s must be 0 or more, not -1"),
        ({"url": "rtsp://cam", "frozen_s": -1}, "frozen_s must be 0 or more, not -1"),
    ],
)
def test_wrong_options_are_refused_without_telling_secrets(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        Url.Options(**options)
    assert str(caught.value) == message
