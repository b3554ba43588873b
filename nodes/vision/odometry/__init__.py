"""Visual odometry: from the tracks of one camera to its path, in one scale, by segments."""
