"""``feature_lookup``: checks the request, reads the user's rows from the online store and encodes them."""

from contracts.stack import stack_settings
from ensemble import triton_io, triton_metrics
from ensemble.online import OnlineStore
from ensemble.serving import LookupStep
from ensemble.steps.lookup import Lookup
from ensemble.steps.tables import load


class TritonPythonModel:
    """Triton's shell around ``ensemble.serving.LookupStep``."""

    def initialize(self, args):
        """Load the release's tables; Redis is first asked by the first request."""
        tables = load(triton_io.open_release(args), counted=False)
        stack = stack_settings()
        store = OnlineStore(stack.redis, tables.features)
        step = LookupStep(Lookup(tables), store, stack.variant)
        self._serve = triton_metrics.Measured("feature_lookup", step)

    def execute(self, requests):
        """Serve a batch."""
        return self._serve(requests)
