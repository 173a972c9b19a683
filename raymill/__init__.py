"""The domain core: what a dataset, a model and a good result are. It knows no Ray, no HTTP and no Kubernetes."""

__version__ = "0.1.0"
