"""Plumbing that every slice needs: database, jobs, facts, blobs, web, telemetry. No domain."""
