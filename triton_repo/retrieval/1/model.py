"""``retrieval``: two-tower, item-item, trending and session candidates, seen items removed."""

from contracts.stack import stack_settings
from ensemble import triton_io
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
        LiveItems(stack_settings().redis, tables.shelves.take).start()
        step = RetrievalStep(Retrieval(tables, Popularity(tables), release, triton_io.graph(args)))
        self._step = triton_io.budgeted("retrieval", step)

    def execute(self, requests):
        """Serve a batch."""
        return triton_io.execute(requests, "retrieval", self._step)
