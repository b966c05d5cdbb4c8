"""What a machine of the launcher `elsewhere` runs: the work that comes by its input."""

import pickle
import sys

pickle.load(sys.stdin.buffer)()
