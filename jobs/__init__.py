"""What runs on the cluster and ends: one file is one job, `python -m jobs.<name> SPEC`."""
