"""`python -m ablate.report`: the same as `ablate report`."""

import sys

from ablate.__main__ import main

if __name__ == "__main__":
    sys.argv.insert(1, "report")
    main()
