"""From a table of outcomes to the verdict on every pair: do they add or interact?"""
