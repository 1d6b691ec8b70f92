"""What every HTTP door needs: problems, limits, request ids, ids in paths, times on the wire."""
