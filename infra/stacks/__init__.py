"""One program for each target; `deploy(settings)` declares its resources and exports its outputs."""
