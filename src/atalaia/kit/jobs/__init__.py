"""Long work: a table is the truth, workers claim from it with a lease."""

from atalaia.kit.jobs.queue import JobQueue
from atalaia.kit.jobs.rows import Job, JobStatus
from atalaia.kit.jobs.worker import Cancelled, Outcome, Run, Work, Worker

__all__ = ["Cancelled", "Job", "JobQueue", "JobStatus", "Outcome", "Run", "Work", "Worker"]
