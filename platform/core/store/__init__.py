"""Where records live: one contract (`abc`), one file a backend."""
