"""The reference engine: plain Python, one file per noun, the controller's own routing functions."""
