"""`poses.jsonl`: one JSON object a line for each pair of frames, as `PoseRow` has it."""

from nodes.writers import PoseRow
from nodes.writers.json_lines import JsonLines


class Poses(JsonLines[PoseRow]):
    """Writes `poses.jsonl`."""

    port = "pose"
    stem = "poses"
