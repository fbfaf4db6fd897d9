# One tenant, keys from its JWKS, workloads from the trust owner's files.
#
#   export VAULT_ADDR=https://vault.example.com:8200 VAULT_CACERT=vault-ca.pem   # and a token that may write mounts and policies
#   terraform init && terraform apply

variable "verifier_url" {
  description = "The verifier's base URL (`base_url` in its settings), as Vault reaches it."
  type        = string
}

variable "verifier_ca_file" {
  description = "File of the CA that signed the verifier's TLS certificate."
  type        = string
}

variable "trust_dir" {
  description = "Folder of trust documents, the same that the verifier reads."
  type        = string
}

module "trust" {
  source = "../../modules/workloads"

  trust_dir = var.trust_dir
}

module "attestation" {
  source = "../.."

  tenant    = "default"
  issuer    = "${var.verifier_url}/t/default"
  ca_pem    = file(var.verifier_ca_file)
  audience  = "vault/attestation-default"
  workloads = module.trust.workloads

  roles = {
    # Confidential machines, whichever chip they run on.
    confidential = { kind = "workload" }

    # One secret a machine: what a single chip may read.
    per-machine = { kind = "instance", tees = ["sev-snp"] }
  }
}

output "roles" {
  description = "Roles with the workloads that each one serves."
  value       = module.attestation.roles
}
