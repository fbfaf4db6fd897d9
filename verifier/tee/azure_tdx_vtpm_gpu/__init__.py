"""Azure's VMs on Intel TDX with an NVIDIA GPU (``azure-tdx-vtpm-gpu``): the vTPM's quote, made last, vouches for the GPU."""
