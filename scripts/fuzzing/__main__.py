"""`python -m scripts.fuzzing`; its processes of their own need a module with a name of its own."""

import sys

from scripts.fuzzing.run import main

if __name__ == "__main__":
    sys.exit(main())
