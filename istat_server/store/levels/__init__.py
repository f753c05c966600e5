"""What the buckets of each level are: retention policies, answers to questions, rows from elsewhere, seasons."""
