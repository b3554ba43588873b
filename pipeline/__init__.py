"""The engine: graphs, links, messages, runner, command line. It has never heard of a keypoint."""
