"""Which detector suits a series or a fleet: by how each finds anomalies that were put into its own history."""
