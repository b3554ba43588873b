"""The built-in graphs: one YAML file each, run by name with `posestream run INPUT --config NAME`."""
