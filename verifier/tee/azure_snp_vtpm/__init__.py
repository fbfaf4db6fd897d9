"""Azure's confidential VMs on AMD SEV-SNP (``azure-snp-vtpm``): a vTPM quote, its key vouched for by the SNP report of the boot."""
