"""Points arrive, are kept, become anomalies."""
