"""Neural networks: their layers, their weights, and how they run on a CPU or a GPU.

Nothing here knows of messages or nodes; arrays of numpy go in and come out.
"""
