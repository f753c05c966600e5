"""How people speak with the agent: the control socket, and the commands plugins, reload, try and new."""
