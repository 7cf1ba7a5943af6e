"""``similar``: items that go with an item, for nobody in particular."""

from contracts.stack import stack_settings
from ensemble import triton_io
from ensemble.live_items import LiveItems
from ensemble.similar_serving import SimilarStep
from ensemble.steps.popularity import Popularity
from ensemble.steps.similar import SimilarItems
from ensemble.steps.tables import load


class TritonPythonModel:
    """Triton's shell around ``ensemble.similar_serving.SimilarStep``."""

    def initialize(self, args):
        """Load what says that items go together; watch what may be listed."""
        release = triton_io.open_release(args)
        tables, stack = load(release), stack_settings()
        live = LiveItems(stack.redis, tables.shelves.take)
        live.start()
        similar = SimilarItems(tables, Popularity(tables), release)
        answering = SimilarStep(similar, triton_io.AnswerMetrics(release.id, live.age_seconds), stack.variant)
        self._step = triton_io.budgeted("similar", answering)

    def execute(self, requests):
        """Serve a batch."""
        return triton_io.execute(requests, "similar", self._step)
