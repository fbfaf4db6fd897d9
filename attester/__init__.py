"""The attester: runs inside the workload, proves what it is, and puts secrets where programs expect them."""
