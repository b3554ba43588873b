"""The carrier does not wait for a peer that is gone."""

import threading

from pipeline.graph import Edge, Policy
from pipeline.transport import Inlet, Outlets, Wiring


def test_credit_for_a_producer_that_is_gone_keeps_nobody_waiting() -> None:
    wiring = Wiring.create("test", ["a", "b"])
    edge = Edge("a", "number", "b", "number", Policy.LOSSLESS, 4, ("a",))
    outlets, inlet = Outlets("a", [edge], wiring), Inlet(edge, {}, wiring, on_idle=False)
    inlet.socket.connect(wiring.local_endpoint("a"))
    outlets.socket.close()
    inlet.socket.poll(100)  # hears of it
    thread = threading.Thread(
        target=lambda: (inlet.grant(idle=True, held=0), inlet.leave()), daemon=True
    )
    thread.start()
    thread.join(2)
    assert not thread.is_alive()
    inlet.socket.close()
    wiring.close()
