"""What happens and when: deterministic, over the pure request in `domain`."""
