"""What is shipped: the wheel, the container, unit files and manifests."""
