"""What things are: the service request, its events, clocks, policy and forms.

Pure Python and pydantic: no I/O, no Temporal, nothing of ours from outside this package.
"""
