"""The `zkevm` command of an installation: of the whole project, or of the verifier alone."""

import gc
from importlib.util import find_spec

#: Objects by which the young ones have to grow before cycles among them are looked for. Modules, tables and keys are
#: hundreds of thousands of objects that live to the end: by default a tenth of a command's time is spent on finding
#: that out.
YOUNG_OBJECTS = 50_000


def main() -> None:
    """Entry point. Both wheels name it, so that either may be installed over the other."""
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    if find_spec("zkevm.main") is None:
        from zkevm.verifying import app
    else:
        from zkevm.main import app
    try:
        app()
    finally:
        # The process ends: nothing is gained by looking through all objects once more.
        gc.freeze()


if __name__ == "__main__":
    main()
