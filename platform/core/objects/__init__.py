"""Where sources, bundles and dependency layers live: one contract (`abc`), one file a backend."""
