"""Which cells a full cube keeps: those with the largest counts, or with the most distinct items."""
