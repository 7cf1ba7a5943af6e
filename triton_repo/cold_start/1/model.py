"""``cold_start``: blends ranking, trending and the running session by what is known of the user, and answers."""

from contracts.stack import stack_settings
from ensemble import triton_io, triton_metrics
from ensemble.live_buckets import LiveBuckets
from ensemble.live_items import LiveItems
from ensemble.serving import ColdStartStep
from ensemble.steps.chain import cold_start
from ensemble.steps.popularity import Popularity
from ensemble.steps.tables import load


class TritonPythonModel:
    """Triton's shell around ``ensemble.serving.ColdStartStep``."""

    def initialize(self, args):
        """Load the tables that trending needs; watch what may be listed."""
        release = triton_io.open_release(args)
        tables = load(release)
        popularity = Popularity(tables)
        LiveBuckets(stack_settings().redis, tables, popularity.take).start()
        live = LiveItems(stack_settings().redis, tables.shelves.take)
        live.start()
        log = triton_metrics.impression_log(tables, popularity)
        self._answered = triton_metrics.Answered(release.id, live.age_seconds, log)
        answering = ColdStartStep(cold_start(tables, popularity, release), self._answered)
        self._serve = triton_metrics.Measured("cold_start", answering, popularity.lookups)

    def execute(self, requests):
        """Serve a batch."""
        return self._serve(requests)

    def finalize(self):
        """Let what was answered last be logged."""
        self._answered.close()
