"""A series and a value become a score: loading, cache, fallbacks."""
