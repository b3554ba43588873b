"""The engine: graphs, links, messages, the runner and the command line. It has never heard of a keypoint."""
