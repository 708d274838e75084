"""A worker's module that takes longer to import than its items may take."""

import time

from tests.worker_tasks import do

__all__ = ["do"]

time.sleep(0.6)
