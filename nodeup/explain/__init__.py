"""`nodeup explain`: which field of the specification gave a file, a line, a flag or a field its value; measured, not written down."""
