"""One request and its answer: what a request may bring, and whose turn it is while an answer is made."""
