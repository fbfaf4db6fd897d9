"""Intel TDX guests with an NVIDIA GPU (``tdx-gpu``): the CPU's report, made last, vouches for the GPU's evidence."""
