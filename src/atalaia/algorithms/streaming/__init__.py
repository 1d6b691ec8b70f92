"""The streaming detector's loops: what a series knows, how one point is judged, and what it teaches."""
