"""Finetuning a language model on reasoning traces: which stretches a step sees, and steps that resume bit for bit."""
