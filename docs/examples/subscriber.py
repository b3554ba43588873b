"""Prints the poses of a graph with `publish: {pose.pose: ENDPOINT}`: subscriber.py ENDPOINT."""

import struct
import sys

import msgpack
import zmq

socket = zmq.Context().socket(zmq.SUB)
socket.connect(sys.argv[1])
socket.subscribe("pose.pose/")
item = {"kind": ""}
while item["kind"] != "eos":
    topic, header, *buffers = socket.recv_multipart()
    item = msgpack.unpackb(header)
    if item["kind"] == "data":
        arrays = {part[0]: buffer for part, buffer in zip(item["parts"], buffers, strict=True)}
        T = struct.unpack("<16d", arrays["T_cur_prev"]) if "T_cur_prev" in arrays else None
        print(item["stream"], item["seq"], item["fields"]["label"], T, flush=True)
