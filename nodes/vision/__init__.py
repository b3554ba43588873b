"""Pure algorithms over arrays: no engine, files, logging, globals or unseeded randomness."""
