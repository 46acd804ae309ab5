"""The only door to the machine: files, commands, block devices' surroundings."""
