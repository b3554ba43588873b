"""What a sampler takes for an inlier, when it ends, and how it is seeded."""

import hashlib
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a sampler takes for an inlier, and when it ends.

    It ends after `max_iterations`, or, from `min_iterations` on, once a sample without outliers has
    been drawn with probability `confidence`.
    """

    threshold_px: float = 1.0
    min_iterations: int = 50
    max_iterations: int = 2000
    confidence: float = 0.9999

    def __post_init__(self) -> None:
        if not 0 < self.threshold_px < math.inf:
            raise ValueError(f"threshold_px must be more than 0, not {self.threshold_px}")
        if self.min_iterations < 1:
            raise ValueError(f"min_iterations must be at least 1, not {self.min_iterations}")
        if self.max_iterations < self.min_iterations:
            raise ValueError(
                f"max_iterations must be at least {self.min_iterations}, not {self.max_iterations}"
            )
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must be between 0 and 1, not {self.confidence}")


def seed_for(seed: int, stream: str, seq0: int, seq1: int) -> int:
    """Return the seed (31 bits) of a pair of frames of a stream, mixed from the seed of the run."""
    key = f"{seed}/{seq0}/{seq1}/{stream}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big") >> 1
