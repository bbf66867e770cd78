"""What runs inside the workers, by language. It imports nothing of the platform: it lives on the other side."""
