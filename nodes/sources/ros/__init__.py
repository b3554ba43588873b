"""Recordings of ROS 1 and ROS 2, read without a ROS installation."""
