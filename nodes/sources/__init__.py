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
        "camera": "nodes.sources.camera:LiveCamera",
        "synthetic": "nodes.sources.synthetic:Synthetic",
    },
    group="posestream.sources",
)
