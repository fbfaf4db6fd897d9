"""SEV-SNP guests with an NVIDIA GPU (``sev-snp-gpu``): the CPU's report, made last, vouches for the GPU's evidence."""
