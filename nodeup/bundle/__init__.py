"""Bundles: one archive with everything that sets up an air-gapped node, made where the state store and the mirrors can be reached."""
