"""A node that passes features on after a random time, to shake the order of things."""

import random
import time
from collections.abc import Iterator

from nodes.messages import Features
from pipeline.node import Node, Output


class Delay(Node):
    """Sleeps for up to 30 ms."""

    outputs = {"features": Output(Features)}
    stateless = True

    def process(self, features: Features) -> Iterator[Features]:
        time.sleep(random.random() * 0.03)
        yield features
