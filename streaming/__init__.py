"""From clicks to features within milliseconds: collector, lake writer, feature processor and the Feast repository."""
