"""Azure's confidential VMs on Intel TDX (``azure-tdx-vtpm``): a vTPM quote, its key vouched for by a TD quote of the boot."""
