"""The parts that stacks are made of, one a file."""
