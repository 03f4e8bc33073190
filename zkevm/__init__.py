"""What people touch: the ``zkevm`` command."""
