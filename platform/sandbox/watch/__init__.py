"""What workers use, and what they may: control groups, and looks at /proc beside and without them."""
