"""The newcomer's main job: sample data in, models trained and promoted, the rest replayed, anomalies out.

All of it goes over HTTP against the embedded service, as it would for anybody's own data. It may be interrupted at
any moment and run again: what is there already is not done twice.
"""
