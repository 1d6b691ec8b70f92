"""Anomalies, alerts and changes become incidents with causes."""
