"""Measurements that are repeated: how quick the lists are, how far the stream carries."""
