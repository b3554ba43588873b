"""What a camera's calibration file says, in the forms of several programs."""
