"""The `zkevm` command of an installation: of the whole project, or of the verifier alone."""

from importlib.util import find_spec


def main() -> None:
    """Entry point. Both wheels name it, so that either may be installed over the other."""
    if find_spec("zkevm.main") is None:
        from zkevm.verifying import app
    else:
        from zkevm.main import app
    app()


if __name__ == "__main__":
    main()
