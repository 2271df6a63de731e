"""The schema's history, applied by `records.engine.migrate`."""
