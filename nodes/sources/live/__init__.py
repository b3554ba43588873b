"""Cameras and addresses, whose frames come by themselves and may stop coming."""
