"""The suites of tools/benchmark.py: each measures posestream beside its peers and its ceilings.

A suite is a module with `run(settings) -> Findings`. What cannot be measured, for want of data or
of a package, is a row that says why.
"""

SUITES = {
    "detect": "benchmarks.detect",
    "features": "benchmarks.features",
    "tracking": "benchmarks.tracking",
    "match": "benchmarks.match",
    "pose": "benchmarks.pose",
    "links": "benchmarks.links",
    "pipeline": "benchmarks.pipeline",
    "profile": "benchmarks.profile",
    "live": "benchmarks.live",
    "memory": "benchmarks.memory",
    "streams": "benchmarks.streams",
}
