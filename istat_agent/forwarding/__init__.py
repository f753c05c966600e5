"""An agent that forwards: what its collectors report, and what programs of this machine send to its local ports."""
