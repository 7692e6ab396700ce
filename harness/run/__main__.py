"""`python -m harness.run VERB ARGUMENTS`: what ci/run does once all that it needs is installed."""

import sys

from harness.run.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
