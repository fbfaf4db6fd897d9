# Several tenants in one community Vault: a mount, an audience and a path prefix each, keys found by discovery.

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

variable "tenants" {
  description = "Tenants by name, each with its roles as the module's `roles` takes them."
  type        = any
}

module "trust" {
  source = "../../modules/workloads"

  trust_dir = var.trust_dir
}

module "attestation" {
  source   = "../.."
  for_each = var.tenants

  tenant    = each.key
  issuer    = "${var.verifier_url}/t/${each.key}"
  ca_pem    = file(var.verifier_ca_file)
  discovery = true
  audience  = "vault/attestation-${each.key}"
  workloads = module.trust.workloads
  roles     = each.value
}

output "mounts" {
  description = "Mounts by tenant, as workload documents name them in vault.mount."
  value       = { for tenant, mount in module.attestation : tenant => mount.mount_path }
}
