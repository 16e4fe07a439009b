"""The same fit by pyfixest, run by its own interpreter: `python pyfixest_peer.py TABLE.npz OUT.npz ROUNDS`.

It reads counts, spreads them out to one row per sentence (what pyfixest takes), and writes coefficients, standard
errors and the CPU seconds of every fit after the first.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd
import pyfixest

counts = np.load(sys.argv[1])
y, n, x = counts["y"].astype(int), counts["n"].astype(int), counts["x"]
prompt, cell = np.indices(n.shape)
columns = {f"x{j}": np.repeat(x[cell.ravel(), j], n.ravel()) for j in range(x.shape[1])}
hits = np.concatenate([np.arange(total) < ones for ones, total in zip(y.ravel(), n.ravel(), strict=True)])
rows = pd.DataFrame({**columns, "prompt": np.repeat(prompt.ravel(), n.ravel()), "hit": hits.astype(float)})
formula = f"hit ~ {' + '.join(columns)} | prompt"
seconds = []
for _ in range(int(sys.argv[3]) + 1):
    start = time.process_time()
    fit = pyfixest.feglm(formula, rows, family="logit", vcov={"CRV1": "prompt"})
    seconds.append(time.process_time() - start)
names = [f"x{j}" for j in range(x.shape[1])]
np.savez(sys.argv[2], beta=fit.coef()[names].to_numpy(), error=fit.se()[names].to_numpy(), seconds=seconds[1:])
