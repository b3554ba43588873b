"""Commands of the engine that are found by entry point, as those of the nodes are."""
