"""A launcher of the smallest pipelines, for tests of the engines themselves.

    python -m tests.tiny_pipeline squares|ticks|late OUT_FILE BEAM OPTIONS...

squares: bounded, appends the squares of 0 to 4 to OUT_FILE, a line each. ticks: unbounded, appends a line every 0.5 s.
late: unbounded, and every row is too late for its window, so that a grouping drops it.
"""

import sys
import time
from collections.abc import Iterable, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.transforms.window import FixedWindows, TimestampedValue

TICK_SECONDS = 0.5
_LATE_SECONDS = 1000


class AppendLine(beam.DoFn):
    """Append each element to a file at once."""

    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, element: object) -> Iterable[object]:
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(f"{element}\n")
        yield element


def square(number: int) -> int:
    return number * number


def timed_late(tick: float) -> TimestampedValue:
    return TimestampedValue(("key", tick), tick - _LATE_SECONDS)


def main(arguments: Sequence[str]) -> int:
    kind, out_file, *options = arguments
    if kind != "squares":
        options = [*options, "--streaming"]
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    if kind == "squares":
        rows = pipeline | beam.Create(range(5)) | beam.Map(square)
    else:
        rows = pipeline | PeriodicImpulse(start_timestamp=time.time(), fire_interval=TICK_SECONDS)
    if kind == "late":
        rows = rows | beam.Map(timed_late) | beam.WindowInto(FixedWindows(1)) | beam.GroupByKey()
    rows | beam.ParDo(AppendLine(out_file))
    result = pipeline.run()
    print("submitted", flush=True)
    state = result.wait_until_finish()
    print(state, flush=True)
    return 0 if state == "DONE" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
