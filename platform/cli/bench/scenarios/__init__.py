"""One module a scenario: `measure(session)` runs it and returns its part of the report."""
