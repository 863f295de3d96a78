"""The cases of bench/speed.py, one module a subject, each with a list ``CASES``."""
