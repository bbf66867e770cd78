"""What the supervisor is made of. Standard library and psutil only: it must be small, and outlive everything else."""
