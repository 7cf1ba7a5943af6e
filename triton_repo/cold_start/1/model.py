"""``cold_start``: blends ranking, trending and the running session by what is known of the user, and answers."""

from contracts.stack import stack_settings
from ensemble import triton_io
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
        live = LiveItems(stack_settings().redis, tables.shelves.take)
        live.start()
        step = cold_start(tables, Popularity(tables), release)
        answering = ColdStartStep(step, triton_io.AnswerMetrics(release.id, live.age_seconds))
        self._step = triton_io.budgeted("cold_start", answering)

    def execute(self, requests):
        """Serve a batch."""
        return triton_io.execute(requests, "cold_start", self._step)
