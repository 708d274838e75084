"""What goes on beside the graph in the process that works: status pages, upkeep of the lake, how the feeds stand.

Started with the first bundle, once a process (`transforms.acquire_on_ticks.Attendant`), wherever the engine's workers
run. Nothing here decides anything about rows.
"""

import logging
import threading
import time

from pipelines.options import StreamConfig
from transforms.acquire_on_ticks import AcquisitionService
from transforms.commit_on_bundles import commit_service_of

_log = logging.getLogger("newsbeam.attend")


class Attend:
    """Attends to the service of a process; picklable.

    Args:
        lake_uri: where the lake is.
        settings: of the stream.
        run_id: of the stream.
    """

    def __init__(self, lake_uri: str, settings: StreamConfig, run_id: str) -> None:
        self._lake_uri, self._settings, self._run_id = lake_uri, settings, run_id

    def __call__(self, service: AcquisitionService) -> None:
        """Start what goes on beside the graph."""
        commit_service_of(self._lake_uri, self._run_id)
        threading.Thread(target=self._attend, args=(service,), name="newsbeam-attend", daemon=True).start()

    def _attend(self, service: AcquisitionService) -> None:
        while True:
            time.sleep(30.0)
