"""Looking at the machine: one file an area, each from a Host to that area's view. Nothing here judges, and nothing is changed."""
