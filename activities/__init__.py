"""What touches the world: one module per neighbour. `registry` is what the worker offers."""
