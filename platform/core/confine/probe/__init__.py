"""The program that tries each layer; `layers` runs it and reads what it prints."""
