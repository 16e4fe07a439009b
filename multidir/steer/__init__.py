"""Making interventions happen: edits per batch row, doses, and sweeps over prompts and conditions."""
