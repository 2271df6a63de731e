"""How the processes run: settings, logs, the Temporal connection, `up`, the demonstration."""
