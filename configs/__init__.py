"""The built-in graphs, one YAML file each: `posestream run INPUT --config NAME`."""
