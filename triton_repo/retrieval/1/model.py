"""``retrieval``: two-tower, item-item, trending and session candidates, seen items removed."""

from contracts.stack import stack_settings
from ensemble import triton_io, triton_metrics
from ensemble.live_buckets import LiveBuckets
from ensemble.live_items import LiveItems
from ensemble.serving import RetrievalStep
from ensemble.steps.popularity import Popularity
from ensemble.steps.retrieval import Retrieval
from ensemble.steps.tables import load


class TritonPythonModel:
    """Triton's shell around ``ensemble.serving.RetrievalStep``."""

    def initialize(self, args):
        """Load the query tower, the item embeddings and the item-item table; watch what may be listed."""
        release = triton_io.open_release(args)
        tables = load(release)
        popularity = Popularity(tables)
        LiveBuckets(stack_settings().redis, tables, popularity.take).start()
        LiveItems(stack_settings().redis, tables.shelves.take).start()
        step = RetrievalStep(Retrieval(tables, popularity, release, triton_io.graph(args)))
        self._serve = triton_metrics.Measured("retrieval", step, popularity.lookups)

    def execute(self, requests):
        """Serve a batch."""
        return self._serve(requests)
