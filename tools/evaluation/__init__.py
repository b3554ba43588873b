"""The feature evaluation: homography sets, detectors by name, the protocol, and its tables."""
