"""Where it runs: Ray sessions, resources, the endpoint, the command line."""
