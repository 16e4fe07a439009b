"""The transformers adapter: loading, sites, hooks, capture, generation and token bookkeeping."""
