"""The nodes, in the order in which data passes them."""

from pipeline.registry import Registry

NODES = Registry(
    "node type",
    {
        "capture": "nodes.capture:Capture",
        "detector": "nodes.detector:Detector",
        "matcher": "nodes.matcher:Matcher",
        "tracker": "nodes.tracker:Tracker",
        "calibrator": "nodes.calibrator:Calibrator",
        "pose": "nodes.pose:Pose",
        "odometry": "nodes.odometry:Odometry",
        "mosaic": "nodes.mosaic:Mosaicker",
        "recorder": "nodes.recorder:Recorder",
        "visualiser": "nodes.visualiser:Visualiser",
    },
    group="posestream.node_types",
)
