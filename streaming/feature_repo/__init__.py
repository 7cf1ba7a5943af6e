"""The Feast side: definitions generated from the contracts, apply and materialize."""
