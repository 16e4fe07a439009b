"""Cutting text into sentences and labelling them: rules, published labels, measures of text."""
