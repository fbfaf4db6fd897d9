"""What Azure's confidential VMs share: the HCL report, its runtime claims, the AK certificate's root."""
