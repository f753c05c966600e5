"""The samples and questions of a measurement, and how they are sent: the same for every system."""
