"""Which residual-stream directions make a language model backtrack, and do they add or interact?"""
