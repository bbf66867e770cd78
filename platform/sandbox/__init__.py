"""Execution: runs versions in workers, behind one contract (`abc`)."""
