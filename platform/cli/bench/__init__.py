"""The benchmark: what CloudServe costs beside what it is compared with, measured in one run on one machine."""
