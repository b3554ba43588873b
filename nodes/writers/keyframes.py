"""`keyframes.jsonl`: one JSON object a line for each keyframe, as `KeyframeRow` has it."""

from nodes.writers import KeyframeRow
from nodes.writers.json_lines import JsonLines


class Keyframes(JsonLines[KeyframeRow]):
    """Writes `keyframes.jsonl`; a stream that never had a keyframe leaves none."""

    port = "keyframe"
    stem = "keyframes"
