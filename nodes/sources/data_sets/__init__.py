"""Recordings in the layouts of data sets: ours, TUM RGB-D, KITTI odometry, EuRoC."""
