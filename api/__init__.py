"""The HTTP door (design §5): it starts workflows, signals them, asks them; it decides nothing."""
