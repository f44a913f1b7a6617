"""The commands, as processes and in this one."""
