"""The matcher node: pairs of consecutive frames of each stream."""

import numpy as np
import pytest

from nodes.matcher import IDS_PER_FRAME, Matcher
from nodes.matchers.brute_force import BruteForce
from nodes.messages import Features, Matches
from nodes.vision.camera import Camera
from pipeline.node import Break, Resources, Skip


def features(
    seq: int, descriptors: np.ndarray, stream: str = "cam", size: tuple[int, int] = (640, 480)
) -> Features:
    num = len(descriptors)
    return Features(
        stream=stream,
        seq=seq,
        stamp_ns=seq * 100,
        keypoints=np.arange(2 * num, dtype=np.float32).reshape(num, 2) + seq,
        scores=np.ones(num, np.float32),
        sizes=np.ones(num, np.float32),
        angles=np.zeros(num, np.float32),
        descriptors=descriptors.astype(np.float32),
        camera=Camera.assumed(*size),
    )


def matcher(**options: object) -> Matcher:
    node = Matcher(Matcher.Params(options=BruteForce.Options(**options)))
    node.open(Resources())
    return node


def send(node: Matcher, message: Features) -> Matches | Skip | Break:
    (answer,) = node.process(message)
    return answer


def test_a_permutation_of_the_keypoints_is_found() -> None:
    descriptors = 100 * np.random.default_rng(0).normal(size=(40, 16))
    order = np.random.default_rng(1).permutation(40)
    node = matcher()
    send(node, features(0, descriptors))
    found = send(node, features(1, descriptors[order] + 1))
    assert isinstance(found, Matches)
    assert found.matches[:, 0].tolist() == list(range(40))
    assert order[found.matches[:, 1]].tolist() == list(range(40))
    assert found.matches.dtype == np.int32
    assert ((found.match_scores > 0.8) & (found.match_scores <= 1)).all()


def test_matches_carry_both_frames_whole() -> None:
    prev, cur = features(4, np.eye(3)), features(7, np.eye(5, 3))
    node = matcher()
    send(node, prev)
    found = send(node, cur)
    assert isinstance(found, Matches)
    assert (found.stream, found.seq, found.stamp_ns) == ("cam", 7, 700)
    assert (found.seq_prev, found.stamp_ns_prev) == (4, 400)
    assert found.keypoints_prev is prev.keypoints
    assert found.keypoints_cur is cur.keypoints
    assert found.camera is cur.camera


def test_the_first_frame_of_each_stream_is_skipped_and_streams_do_not_mix() -> None:
    node = matcher()
    assert send(node, features(0, np.eye(4), "left")) == Skip("first_frame")
    assert send(node, features(5, np.eye(4)[::-1], "right")) == Skip("first_frame")
    left = send(node, features(1, np.eye(4), "left"))
    right = send(node, features(6, np.eye(4)[::-1], "right"))
    assert isinstance(left, Matches) and isinstance(right, Matches)
    assert (left.seq_prev, right.seq_prev) == (0, 5)
    assert left.matches.tolist() == right.matches.tolist() == [[i, i] for i in range(4)]


def test_each_keypoint_keeps_one_identity_and_no_other_has_it() -> None:
    node = matcher()
    pairs = [send(node, features(seq, np.eye(num, 8))) for seq, num in enumerate((3, 5, 0, 2))]
    assert isinstance(pairs[0], Skip)
    ids = [(pair.ids_prev.tolist(), pair.ids_cur.tolist()) for pair in pairs[1:]]
    first, second, last = [0, 1, 2], [IDS_PER_FRAME + i for i in range(5)], 3 * IDS_PER_FRAME
    assert ids == [(first, second), (second, []), ([], [last, last + 1])]


def test_identities_do_not_depend_on_what_came_before() -> None:
    whole, resumed = matcher(), matcher()
    send(whole, features(3, np.eye(5, 3)))
    for node in (whole, resumed):
        send(node, features(4, np.eye(3)))
    found, again = (send(node, features(5, np.eye(4, 3))) for node in (whole, resumed))
    assert isinstance(found, Matches) and isinstance(again, Matches)
    assert found.ids_prev.tolist() == again.ids_prev.tolist()
    assert found.ids_cur.tolist() == again.ids_cur.tolist()


def test_where_the_size_changes_the_stream_breaks_and_goes_on_from_there() -> None:
    node = matcher()
    send(node, features(0, np.eye(4)))
    assert send(node, features(1, np.eye(4), size=(320, 240))) == Break(
        "size_changed: 640x480 -> 320x240"
    )
    found = send(node, features(2, np.eye(4), size=(320, 240)))
    assert isinstance(found, Matches)
    assert found.seq_prev == 1
    assert found.ids_prev.tolist() == [IDS_PER_FRAME + i for i in range(4)]


def test_frames_without_keypoints_have_no_matches() -> None:
    node = matcher()
    for seq in range(3):
        found = send(node, features(seq, np.zeros((0, 8))))
    assert isinstance(found, Matches)
    assert found.matches.shape == (0, 2)
    assert found.match_scores.shape == (0,)


def test_opening_again_forgets_the_streams() -> None:
    node = matcher()
    send(node, features(0, np.eye(4)))
    node.open(Resources())
    assert send(node, features(1, np.eye(4))) == Skip("first_frame")


def pairs_of(found: Matches | Skip | Break) -> list[list[int]]:
    assert isinstance(found, Matches)
    return [list(row) for row in found.matches.tolist()]


def test_the_ratio_and_the_cross_check_are_settings() -> None:
    prev = np.array([[0.0], [1.0], [10.0]])
    cur = np.array([[0.4], [9.0], [10.5]])
    results = {}
    for ratio, cross_check in ((1.0, True), (1.0, False), (0.4, False), (0.9, True)):
        node = matcher(ratio=ratio, cross_check=cross_check)
        send(node, features(0, prev))
        results[ratio, cross_check] = pairs_of(send(node, features(1, cur)))
    # 1.0 is nearest to 0.4 too, but 0.0 is nearer; 10 has 10.5 at 0.5 and 9 at 1.
    assert results[1.0, True] == [[0, 0], [2, 2]]
    assert results[1.0, False] == [[0, 0], [2, 2]]
    assert results[0.4, False] == [[0, 0]]
    assert results[0.9, True] == [[0, 0], [2, 2]]


def test_without_cross_check_the_nearest_of_those_that_pass_the_ratio_is_kept() -> None:
    prev = np.array([[0.0], [0.5], [1.0]])
    cur = np.array([[0.45], [30.0]])
    for cross_check, expected in ((False, [[1, 0]]), (True, [[1, 0]])):
        node = matcher(cross_check=cross_check)
        send(node, features(0, prev))
        assert pairs_of(send(node, features(1, cur))) == expected


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1.01, float("nan")])
def test_a_ratio_without_sense_is_an_error(ratio: float) -> None:
    with pytest.raises(ValueError) as error:
        BruteForce.Options(ratio=ratio)
    assert str(error.value) == f"ratio must be more than 0 and at most 1, not {ratio}"


def test_a_batch_of_several_streams_is_matched_as_each_frame_alone() -> None:
    rng = np.random.default_rng(0)
    messages = [
        features(seq, rng.normal(size=(20, 8)), stream, size)
        for seq, stream, size in (
            (0, "left", (640, 480)),
            (0, "right", (640, 480)),
            (1, "left", (640, 480)),
            (2, "left", (640, 480)),
            (1, "right", (320, 240)),
            (2, "right", (320, 240)),
        )
    ]
    alone, together = matcher(ratio=1.0), matcher(ratio=1.0)
    found = list(together.process_batch(messages))
    assert [type(one) for one in found] == [Skip, Skip, Matches, Matches, Break, Matches]
    for message, one in zip(messages, found, strict=True):
        expected = send(alone, message)
        if isinstance(expected, Matches):
            assert isinstance(one, Matches)
            assert (one.stream, one.seq_prev, one.seq) == (
                expected.stream, expected.seq_prev, expected.seq,
            )  # fmt: skip
            assert np.array_equal(one.matches, expected.matches)
            assert np.array_equal(one.ids_cur, expected.ids_cur)
        else:
            assert one == expected
