"""The words every stage shares: standard library and numpy only, no I/O beyond ``artifacts`` and ``config``."""
