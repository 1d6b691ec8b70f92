"""All sensors of one asset at once: what judges them, as `detectors` judge series one by one."""
