"""The compiled engine: what `reference` does, on arrays, by Numba. Read the reference first; names here are its names.

Entities are rows of structured arrays (`state.py`); a list is a chain of row numbers, −1 its end. Every function takes
the whole state `s` first. Floating-point operations and the order of events are the reference's, one for one, so the
two give the same bytes; tests/world/twin/test_kernel.py holds that.
"""
