"""Google Compute Engine's vTPM (``gcp-vtpm``): a quote under an AK that Google certified, alone or with a CPU report beside it."""
