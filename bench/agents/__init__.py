"""The agents that `bench.agent` measures side by side: ours, and those of Debian's packages."""
