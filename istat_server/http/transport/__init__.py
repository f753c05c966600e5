"""What carries HTTP: connections and their places, heads, bodies, answers, and whose turn it is. Knows no route."""
