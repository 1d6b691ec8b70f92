"""Settings, the one build(), and the doors: server, embedded, demo, command line."""
