"""The tasks of a site, and the one Celery application that runs them.

    celery -A tconnect_pyramid.tasks worker --ini production.ini
    celery -A tconnect_pyramid.tasks beat --ini production.ini

`app` is empty until `--ini` fills it. What an ini may say is described in docs/tasks.md.
"""

from __future__ import annotations

from tconnect_pyramid.tasks.config import ScheduledTask, schedule_of
from tconnect_pyramid.tasks.glue import make_app
from tconnect_pyramid.tasks.table import TASKS, TaskInfo

__all__ = ["TASKS", "ScheduledTask", "TaskInfo", "app", "schedule_of"]

app = make_app()
