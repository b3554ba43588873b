"""Where frames come from: one file for each source, and the recognition of a user's input."""

from nodes.sources.recognition import Recognised, recognise
from pipeline.registry import Registry

__all__ = ["SOURCES", "Recognised", "recognise"]

SOURCES = Registry(
    "source",
    {
        "video": "nodes.sources.video:Video",
        "folder": "nodes.sources.folder:Folder",
        "dataset": "nodes.sources.data_sets.dataset:Dataset",
        "tum": "nodes.sources.data_sets.tum:Tum",
        "kitti": "nodes.sources.data_sets.kitti:Kitti",
        "euroc": "nodes.sources.data_sets.euroc:Euroc",
        "rosbag": "nodes.sources.ros.rosbag:Rosbag",
        "mcap": "nodes.sources.ros.mcap_file:Mcap",
        "stdin": "nodes.sources.stdin:StandardInput",
        "camera": "nodes.sources.live.camera:LiveCamera",
        "url": "nodes.sources.live.url:Url",
        "synthetic": "nodes.sources.synthetic:Synthetic",
    },
    extras={"rosbags": "rosbags", "mcap": "mcap"},
    group="posestream.sources",
)
