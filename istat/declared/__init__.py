"""What is declared of metrics on its way: the line that tells it, and which declaration a counter has."""
