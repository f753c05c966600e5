"""The server: takes samples in, keeps them as buckets, answers questions about them."""
