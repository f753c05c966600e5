"""For whoever brings a store, and for our own tests: a model of a store, and the suite that each one passes."""
