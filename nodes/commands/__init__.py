"""Commands that need vision, found by the command line through entry points."""
