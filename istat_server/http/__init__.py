"""HTTP: routes and JSON, one module per family. Knows the query package and a store's interface."""
