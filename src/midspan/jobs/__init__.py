"""Durable work: jobs in the database, taken under leases and fences, and their schedules."""

from midspan.jobs.dbos import DbosCarrier
from midspan.jobs.job import (
    TERMINAL,
    Done,
    Failed,
    GivenUp,
    Handler,
    HeldJob,
    Job,
    JobContext,
    JobOptions,
    Outcome,
    Retry,
    Wait,
    next_state,
)
from midspan.jobs.manual import ManualJobs
from midspan.jobs.node import NodeJobs, ThreadCarrier
from midspan.jobs.queue import JobQueue
from midspan.jobs.schedule import Daily, Every, Monthly, Schedule, Weekly
from midspan.jobs.table import JobRow, JobTable

__all__ = [
    "TERMINAL",
    "Daily",
    "DbosCarrier",
    "Done",
    "Every",
    "Failed",
    "GivenUp",
    "Handler",
    "HeldJob",
    "Job",
    "JobContext",
    "JobOptions",
    "JobQueue",
    "JobRow",
    "JobTable",
    "ManualJobs",
    "Monthly",
    "NodeJobs",
    "Outcome",
    "Retry",
    "Schedule",
    "ThreadCarrier",
    "Wait",
    "Weekly",
    "next_state",
]
