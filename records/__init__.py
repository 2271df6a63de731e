"""The database: forms, master data, and the projection of the process for lists and statistics.

The workflow is the truth of the process. What stands here of it is written by activities only,
idempotently, and can be rebuilt.
"""
