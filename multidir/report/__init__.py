"""Figures, tables and the self-contained page that people read; knows nothing about models or experiments."""
