"""Folders of labelled data, on which detectors are compared."""
