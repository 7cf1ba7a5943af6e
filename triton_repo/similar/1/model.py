"""``similar``: items that go with an item, for nobody in particular."""

from contracts.stack import stack_settings
from ensemble import triton_io, triton_metrics
from ensemble.live_buckets import LiveBuckets
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
        popularity = Popularity(tables)
        LiveBuckets(stack.redis, tables, popularity.take).start()
        live = LiveItems(stack.redis, tables.shelves.take)
        live.start()
        log = triton_metrics.impression_log(tables, popularity)
        self._answered = triton_metrics.Answered(release.id, live.age_seconds, log)
        answering = SimilarStep(SimilarItems(tables, popularity, release), self._answered, stack.variant)
        self._serve = triton_metrics.Measured("similar", answering, popularity.lookups)

    def execute(self, requests):
        """Serve a batch."""
        return self._serve(requests)

    def finalize(self):
        """Let what was answered last be logged."""
        self._answered.close()
