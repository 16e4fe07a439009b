"""Asking a model behind an API: requests as data, answers kept, money counted before it is spent."""
