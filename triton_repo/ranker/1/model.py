"""``ranker``: a calibrated probability for every candidate."""

from ensemble import triton_io
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
        step = RankerStep(Ranker(RankerFeatures(tables, Popularity(tables)), release, triton_io.graph(args)))
        self._step = triton_io.budgeted("ranker", step)

    def execute(self, requests):
        """Serve a batch."""
        return triton_io.execute(requests, "ranker", self._step)
