"""History and labels become better models: training jobs, registry, promotion."""
