"""Wiring: settings, addresses, Celery, security headers, health.

No other part is imported here: ``skinapp.runtime`` starts before the requirements are installed.
"""

import os

# NumPy reads it when it is imported. A worker gives each core a lane of its own, and a server
# answers several people at once; OpenBLAS's own threads would look for more work for 30 ms after
# each product of two matrices, on the cores that the lanes need.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
