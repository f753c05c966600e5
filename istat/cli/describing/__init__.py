"""What counters are: `istat ls`, with what is declared of them, and `istat describe`."""
