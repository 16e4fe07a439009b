"""Making the outcomes of a combination study on a model: cells, doses, known answers, rollouts."""
