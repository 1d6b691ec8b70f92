"""Detectors of other projects, made again from what is published of them, or called where they are installed."""
