"""What runs on the cluster and does not end: the Ray Serve application."""
