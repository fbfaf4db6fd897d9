"""What each vendor serves: AMD, Intel, NVIDIA, one module a vendor."""
