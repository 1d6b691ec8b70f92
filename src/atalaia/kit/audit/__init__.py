"""The audit log: what people and jobs did (the trail), and what was answered (the journals of predictions)."""
