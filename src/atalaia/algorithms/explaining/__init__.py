"""What can be said of an alarm besides its score: how rare, what was like it, what it shares with others."""
