"""The daemon that starts, watches and restarts everything the sandbox consists of."""
