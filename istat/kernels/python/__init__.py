"""The plain-Python kernels: the specification of every native one."""
