"""The parts of the contract suite (istat_server/testing/contract.py), by what they ask of a store."""
