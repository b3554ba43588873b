"""Where frames come from: one file for each source, and the recognition of a user's input."""

from nodes.sources.recognition import Recognised, recognise
from pipeline.registry import Registry

__all__ = ["SOURCES", "Recognised", "recognise"]

SOURCES = Registry(
    "source",
    {
        "video": "nodes.sources.video:Video",
        "folder": "nodes.sources.folder:Folder",
        "dataset": "nodes.sources.dataset:Dataset",
        "tum": "nodes.sources.tum:Tum",
        "kitti": "nodes.sources.kitti:Kitti",
        "euroc": "nodes.sources.euroc:Euroc",
        "rosbag": "nodes.sources.rosbag:Rosbag",
        "mcap": "nodes.sources.mcap_file:Mcap",
        "stdin": "nodes.sources.stdin:StandardInput",
        "camera": "nodes.sources.camera:LiveCamera",
        "url": "nodes.sources.url:Url",
        "synthetic": "nodes.sources.synthetic:Synthetic",
    },
    extras={"rosbags": "rosbags", "mcap": "mcap"},
    group="posestream.sources",
)
