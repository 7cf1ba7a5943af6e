"""``ranker``: a calibrated probability for every candidate."""

from contracts.stack import stack_settings
from ensemble import triton_io, triton_metrics
from ensemble.live_buckets import LiveBuckets
from ensemble.serving import RankerStep
from ensemble.steps.popularity import Popularity
from ensemble.steps.ranker import Ranker, RankerFeatures
from ensemble.steps.tables import load


class TritonPythonModel:
    """Triton's shell around ``ensemble.serving.RankerStep``."""

    def initialize(self, args):
        """Load the ranker and the tables that its features need."""
        release = triton_io.open_release(args)
        tables = load(release)
        popularity = Popularity(tables)
        LiveBuckets(stack_settings().redis, tables, popularity.take).start()
        step = RankerStep(Ranker(RankerFeatures(tables, popularity), release, triton_io.graph(args)))
        self._serve = triton_metrics.Measured("ranker", step, popularity.lookups)

    def execute(self, requests):
        """Serve a batch."""
        return self._serve(requests)
