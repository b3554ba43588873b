"""Pure algorithms over arrays: no engine, no files, no logging, no globals, no unseeded randomness."""
