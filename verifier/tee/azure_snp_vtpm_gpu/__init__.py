"""Azure's VMs on AMD SEV-SNP with an NVIDIA GPU (``azure-snp-vtpm-gpu``): the vTPM's quote, made last, vouches for the GPU."""
