"""The engine: compares what is with what should be, orders, applies, and looks again. It knows no kind's details."""
